package pages

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"coffre/domain"
	"coffre/handlers/edge"
)

//go:embed icon.svg
var iconDrawing []byte

//go:embed icon-192.png
var iconSmall []byte

//go:embed icon-512.png
var iconLarge []byte

//go:embed install.js
var installScript []byte

//go:embed worker.js
var workerScript string

// What makes the pages an application that a browser can install.
var (
	icon      = newAsset("/assets/icon-", ".svg", "image/svg+xml", iconDrawing)
	icon192   = newAsset("/assets/icon-192-", ".png", "image/png", iconSmall)
	icon512   = newAsset("/assets/icon-512-", ".png", "image/png", iconLarge)
	installer = newAsset("/assets/install-", ".js", "text/javascript; charset=utf-8", installScript)
)

const (
	manifestPath = "/app.webmanifest"
	workerPath   = "/worker.js"
	offlinePath  = "/offline"
)

// shell lists the files that a browser keeps for when there is no connection. They are the same
// for everybody.
var shell = []asset{stylesheet, icon, icon192}

// worker returns the service worker with the names of the shell's files. Its cache has a name made
// of theirs, so that another version of the pages keeps another.
var worker = sync.OnceValue(func() string {
	names := make([]string, len(shell))
	for i, a := range shell {
		names[i] = a.path
	}
	list, err := json.Marshal(names)
	if err != nil { // texts can be written
		panic(err)
	}
	sum := sha256.Sum256(append(list, workerScript...))
	return strings.NewReplacer("SHELL", "shell-"+hex.EncodeToString(sum[:8]), "FILES", string(list)).Replace(workerScript)
})

// manifest is the web app manifest (W3C).
type manifest struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Lang        string         `json:"lang"`
	ID          string         `json:"id"`
	Start       string         `json:"start_url"`
	Scope       string         `json:"scope"`
	Display     string         `json:"display"`
	Background  string         `json:"background_color"`
	Theme       string         `json:"theme_color"`
	Icons       []manifestIcon `json:"icons"`
}

type manifestIcon struct {
	Source  string `json:"src"`
	Sizes   string `json:"sizes"`
	Type    string `json:"type"`
	Purpose string `json:"purpose"`
}

// installRoutes serves what a browser installs the pages with. Nothing of it is about anybody.
func (p *Pages) installRoutes(mux *http.ServeMux) {
	for _, a := range []asset{icon, icon192, icon512, installer} {
		mux.HandleFunc("GET "+a.path, a.serve)
	}
	mux.HandleFunc("GET "+manifestPath, func(w http.ResponseWriter, r *http.Request) {
		l := spoken(r)
		told, err := json.Marshal(manifest{
			Name: l.say("site"), Description: l.say("install.about"), Lang: string(l), ID: "/", Start: "/", Scope: "/", Display: "standalone", Background: "#ffffff", Theme: "#0b4f9c",
			Icons: []manifestIcon{{icon192.path, "192x192", icon192.kind, "any"}, {icon512.path, "512x512", icon512.kind, "any"}, {icon512.path, "512x512", icon512.kind, "maskable"}, {icon.path, "any", icon.kind, "any"}},
		})
		if err != nil {
			p.fault(r, err)
			p.wrong(w, r, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/manifest+json")
		_, _ = w.Write(told) // the browser has gone
	})
	mux.HandleFunc("GET "+workerPath, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'") // the worker's own
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write([]byte(worker()))
	})
	mux.HandleFunc("GET "+offlinePath, func(w http.ResponseWriter, r *http.Request) {
		l := spoken(r)
		others := make([]tongue, 0, len(edge.Languages))
		for _, one := range edge.Languages {
			if one != domain.Language(l) {
				others = append(others, tongue(one))
			}
		}
		p.fault(r, p.show(w, r, http.StatusOK, offlinePage(page{tongue: l, title: l.say("offline.title")}, others)))
	})
}

// installable lets a page have the browser keep the shell. Only pages that show nothing of anybody
// are such.
func (p *Pages) installable(h http.Header) {
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), "style-src 'self'", "style-src 'self'; script-src 'self'; worker-src 'self'", 1))
}
