package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
)

// A process that says that it is ready has the keys of the people of the log's last events: the
// first look into a wallet asks the key database for none.
func TestAReadyProcessHasTheKeysOfTheLastEvents(t *testing.T) {
	dir := vault.DataDir(t.TempDir())
	r := rigOn(t, dir)
	for _, reference := range []string{"first", "second"} {
		if w := r.issue(t, uuid.New(), ssinA, reference); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	me := grantFor(domain.RoleCitizen, "", r.citizen(t, ssinA))
	r.close(t)

	r = rigOn(t, dir)
	defer r.close(t)
	<-r.Built(t.Context())
	before := r.Ring.KeyReads()
	if got := r.get(t, me, "/citizens/"+me.Citizen.String()+"/wallet"); strings.Count(got.Body.String(), `"documentId"`) != 2 {
		t.Fatalf("the wallet: %s", got.Body)
	}
	if reads := r.Ring.KeyReads() - before; reads != 0 {
		t.Errorf("the first look into a wallet asked the key database for content keys %d times", reads)
	}
}

// Keys that are away when everything else is ready keep a process from nothing.
func TestAProcessIsReadyWithoutAnyKey(t *testing.T) {
	dir := vault.DataDir(t.TempDir())
	r := rigOn(t, dir)
	if w := r.issue(t, uuid.New(), ssinA, "first"); w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	r.close(t)

	var told bytes.Buffer
	v, err := vault.Open(t.Context(), dir, vault.Options{Logger: slog.New(slog.NewJSONHandler(&told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Ring.Close(); err != nil {
		t.Fatal(err)
	}
	<-v.Built(t.Context())
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(told.String(), "not everything was got ready beforehand") {
		t.Errorf("nobody is told: %s", told.String())
	}
}
