// The address that the terminal shows holds the token behind a #, which browsers never send to a server.
const token = decodeURIComponent(location.hash.slice(1));
if (token) {
  document.getElementById("token").value = token;
  history.replaceState(null, "", location.pathname + location.search);
  document.getElementById("user").focus();
}
