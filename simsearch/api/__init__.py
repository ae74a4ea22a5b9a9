"""The commands as Python functions: what `import simsearch` offers. Loaded module by module, when it is used."""
