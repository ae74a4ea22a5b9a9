"""Networks: the trunk, its features and their similarity, classifiers, and the files that keep them."""
