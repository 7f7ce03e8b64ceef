package spec

import "testing"

func TestRival(t *testing.T) {
	api, problems := routed(t, []string{""}, "GET /users/admin", "PUT /users/{id}", "GET /users/{id}", "GET /users/{id}/keys", "DELETE /users/me/keys",
		"GET /files/{name}.txt", "GET /files/list.txt", "GET /{kind}/all", "GET /users/keys-{n}")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for path, want := range map[string]bool{
		"/users/admin": false, "/users/7": false, "/users/administrator": false, "/users/adm": false, "/users/admin-2": false,
		"/users/Admin": true, "/users/ADMIN": true, "/users/admin;x=1": true, "/users/admin%3Bx": true, "/users/admin.json": true,
		"/users/admin%20": true, "/users/admin.": true, "/users/adm%C4%B1n": true, "/users/Admin.JSON;a=b": true, "/users/admin%C2%A0": true,
		"/users/me/keys": false, "/users/ME/keys": false, // only DELETE is there, and that is not what was asked for
		"/files/LIST.txt": true, "/files/other.txt": false, "/Users/all": true, "/users/ALL": false,
	} {
		if got := api.Route("GET", "", path); got.Operation == nil || got.Rival != want {
			t.Errorf("GET %s: %v, rival %v, want %v", path, got.Operation, got.Rival, want)
		}
	}
	if got := api.Route("HEAD", "", "/users/Admin"); !got.Rival || !got.HeadOfGet {
		t.Errorf("HEAD: %+v", got)
	}
	if got := api.Route("PUT", "", "/users/Admin"); got.Operation == nil || got.Rival {
		t.Errorf("PUT, which the literal path has not: %+v", got)
	}
	for path, want := range map[string]bool{
		"/Users/7": true, "/users/7/": true, "/users;x/7": true, "/USERS/7/KEYS": true, "/accounts/7": false, "/users": false, "/users/7/keys/9": false, "/": false,
	} {
		if got := api.Resembles(path); got != want {
			t.Errorf("Resembles(%s) = %v", path, got)
		}
	}
}

func TestLooselyUnder(t *testing.T) {
	for path, want := range map[string]bool{
		"/Admin/x": true, "/ADMIN": true, "/admin;a/x": true, "/admin%20/x": true,
		"/admin/x": false, "/administrator/x": false, "/a": false, "/x/admin": false, "/": false,
	} {
		if got := LooselyUnder(path, "/admin"); got != want {
			t.Errorf("LooselyUnder(%s) = %v", path, got)
		}
	}
	if !LooselyUnder("/V1/Admin/x", "/v1/admin") || LooselyUnder("/v1/users/x", "/v1/admin") {
		t.Error("base paths of two segments")
	}
}
