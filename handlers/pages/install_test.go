package pages_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a browser keeps of the pages is the same for everybody and names nobody: files that never
// change, and the page that says that there is no connection, in every language.
func TestABrowserKeepsTheShellAlone(t *testing.T) {
	s := newSite(t)
	c := s.signIn()
	script := s.text(s.browser(http.MethodGet, "/worker.js", nil))
	list := regexp.MustCompile(`const files = (\[[^\]]+\])`).FindStringSubmatch(script)
	var files []string
	if list == nil || json.Unmarshal([]byte(list[1]), &files) != nil || len(files) < 2 || strings.Contains(script, "SHELL") {
		t.Fatalf("the worker keeps %q", script)
	}
	s.asked = nil
	for _, path := range append(files, "/offline") {
		mine, anybodys := s.browser(http.MethodGet, path, nil, with(c)), s.browser(http.MethodGet, path, nil)
		if mine.StatusCode != http.StatusOK || anybodys.StatusCode != http.StatusOK || s.text(mine) != s.text(anybodys) {
			t.Errorf("%s: %d and %d, or two contents", path, mine.StatusCode, anybodys.StatusCode)
		}
	}
	if s.asked != nil {
		t.Errorf("the API was asked %q", s.asked)
	}
	if strings.Count(script, "caches.open") != 1 || strings.Count(script, ".addAll(") != 1 || strings.Contains(script, ".put(") || strings.Contains(script, ".add(") {
		t.Error("the worker keeps more than its list")
	}
	offline := s.text(s.browser(http.MethodGet, "/offline", nil, speaking("fr")))
	if missing := lacks(offline, "Geen verbinding", "Pas de connexion", "Keine Verbindung", "No connection"); missing != nil || strings.Contains(offline, `name="form"`) {
		t.Errorf("the page lacks %q, or is somebody's", missing)
	}
	for _, path := range files {
		if h := s.browser(http.MethodGet, path, nil).Header.Get("Cache-Control"); !strings.Contains(h, "immutable") {
			t.Errorf("%s: %s", path, h)
		}
	}
}

// The pages can be installed: their manifest says what a browser needs. A script runs for that on the
// page of the login alone; no page of anybody has one for it.
func TestThePagesCanBeInstalled(t *testing.T) {
	s := newSite(t)
	resp := s.browser(http.MethodGet, "/app.webmanifest", nil, speaking("de"))
	var told struct {
		Name, Description, Lang, Display string
		Start                            string `json:"start_url"`
		Icons                            []struct{ Src, Sizes, Type, Purpose string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil || resp.Header.Get("Content-Type") != "application/manifest+json" {
		t.Fatalf("%v, %v", resp.Header, err)
	}
	if told.Name == "" || told.Lang != "de" || told.Display != "standalone" || told.Start != "/" || len(told.Icons) < 3 {
		t.Errorf("told %+v", told)
	}
	var sizes []string
	for _, icon := range told.Icons {
		sizes = append(sizes, icon.Sizes+" "+icon.Purpose)
		if got := s.browser(http.MethodGet, icon.Src, nil); got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != icon.Type {
			t.Errorf("%s: %d, %s", icon.Src, got.StatusCode, got.Header.Get("Content-Type"))
		}
	}
	if !slices.Contains(sizes, "192x192 any") || !slices.Contains(sizes, "512x512 maskable") {
		t.Errorf("icons of %q", sizes)
	}
	c := s.signIn()
	for path, scripted := range map[string]bool{"/signin": true, "/wallet": false, "/signedout": false, "/offline": false, "/data": false} {
		resp := s.browser(http.MethodGet, path, nil, with(c))
		csp := resp.Header.Get("Content-Security-Policy")
		if has := strings.Contains(csp, "script-src") || strings.Contains(csp, "worker-src"); has != scripted || strings.Contains(s.text(resp), "<script") != scripted || !strings.Contains(csp, "manifest-src 'self'") {
			t.Errorf("%s: %s", path, csp)
		}
	}
	if h := s.browser(http.MethodGet, "/worker.js", nil).Header; h.Get("Content-Security-Policy") != "default-src 'none'; connect-src 'self'" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("the worker comes with %v", h)
	}
}
