package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/eventstore/proof"
	"coffre/eventstore/proof/bundle"
	"coffre/handlers/contract"
)

const (
	anna = "00000000-0000-4000-8000-00000000000a"
	ben  = "00000000-0000-4000-8000-00000000000b"
)

// pages plays a log, three events a page.
func pages(t *testing.T, events []contract.LogEvent) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/vault/v1/events" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		from := 0
		if after := r.URL.Query().Get("after"); after != "" {
			if _, err := fmt.Sscanf(after, "c%d", &from); err != nil {
				t.Error(err)
			}
		}
		page := contract.LogEvents{Items: []contract.LogEvent{}}
		for i := from; i < min(from+3, len(events)); i++ {
			e := events[i]
			types, roles := r.URL.Query()["type"], r.URL.Query()["role"]
			from, _ := time.Parse(time.RFC3339, r.URL.Query().Get("from"))
			if (len(types) == 0 || slices.Contains(types, e.Type)) && (len(roles) == 0 || slices.Contains(roles, string(e.Actor.Role))) && !e.RecordedAt.Before(from) {
				page.Items = append(page.Items, e)
			}
		}
		if from+3 < len(events) {
			page.NextCursor = fmt.Sprintf("c%d", from+3)
			page.Next = "/vault/v1/events?after=" + page.NextCursor + "&pageSize=1000"
		}
		answer(t, w, 200, page)
	}
}

func TestReplayOfOneCitizen(t *testing.T) {
	recorded := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var log []contract.LogEvent
	add := func(stream, typ, facts string, by string) {
		e := contract.LogEvent{EventID: uuid.New(), Stream: stream, Type: typ, Form: 1, Facts: contract.ClearFacts(facts),
			RecordedAt: recorded.Add(time.Duration(len(log)) * time.Hour), Cursor: fmt.Sprintf("c%d", len(log))}
		if by != "" {
			e.Actor = contract.EventActor{Role: contract.ActorRoleCitizen, CitizenID: must1(citizenID(by))}
		}
		log = append(log, e)
	}
	add("registry", "registry.published", `{"version":1}`, "")                                                 // 0
	add("citizen-"+anna, "citizen.registered", `{"citizen":"`+anna+`"}`, "")                                   // 1
	add("document-1", "document.issued", `{"document":"1","citizen":"`+anna+`"}`, "")                          // 2
	add("document-2", "document.issued", `{"document":"2","citizen":"`+ben+`"}`, "")                           // 3
	add("document-1", "document.updated", `{"document":"1","version":2}`, "")                                  // 4
	add("document-2", "document.updated", `{"document":"2","version":2}`, "")                                  // 5
	add("refusal-0206731645-20260301", "access.refused", `{"citizen":"`+anna+`","reason":"noBasis"}`, "")      // 6
	add("refusal-0206731645-20260301", "access.refused", `{"citizen":"`+ben+`","reason":"noBasis"}`, "")       // 7
	add("consent-1", "consent.refused", `{"consent":"1"}`, anna)                                               // 8
	add("mandate-1", "mandate.granted", `{"mandate":"1","citizen":"`+ben+`","representative":"`+anna+`"}`, "") // 9
	add("mandate-1", "mandate.ended", `{"mandate":"1"}`, "")                                                   // 10
	s := answering(t, pages(t, log))
	for name, c := range map[string]struct {
		args []string
		want []int
		leaf any
	}{
		"all":              {nil, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 10.0},
		"citizen":          {[]string{"--citizen", anna}, []int{1, 2, 4, 6, 8, 9, 10}, 10.0},
		"citizen and type": {[]string{"--citizen", anna, "--type", "document.updated"}, []int{4}, 10.0},
		"type":             {[]string{"--type", "document.updated,consent.refused"}, []int{4, 5, 8}, nil},
		"later":            {[]string{"--from", "2026-03-01T16:00:00Z", "--until", "2026-03-01T20:00:00Z"}, []int{4, 5, 6, 7}, nil},
		"role":             {[]string{"--role", "citizen"}, []int{8}, nil},
		"citizen and role": {[]string{"--citizen", anna, "--role", "citizen,issuer"}, []int{8}, 10.0},
		"citizen, later":   {[]string{"--citizen", anna, "--from", "2026-03-01T16:00:00Z", "--until", "2026-03-01T20:00:00Z"}, []int{4, 6}, 10.0},
	} {
		got := jsonLines(t, s.must(0, append([]string{"audit", "replay", "--data", t.TempDir(), "--json"}, c.args...)...).out)
		var told []int
		for _, e := range got[:len(got)-1] {
			told = append(told, slices.IndexFunc(log, func(l contract.LogEvent) bool { return l.EventID.String() == e["eventId"] }))
		}
		if sum := got[len(got)-1]; !slices.Equal(told, c.want) || sum["lastLeaf"] != c.leaf || sum["events"] != float64(len(c.want)) {
			t.Errorf("%s: told %v, want %v; the end says %v", name, told, c.want, sum)
		}
	}
}

// The key that signs now comes first, and a vault that has none of them is not believed.
func TestKeysOfTheLog(t *testing.T) {
	log, former := onlyKey{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}, make(ed25519.PublicKey, ed25519.PublicKeySize)
	c := proof.Checkpoint{Origin: proof.Origin(uuid.UUID{1}, 0), Size: 1, Time: time.Unix(1_772_366_415, 0).UTC()}
	note, err := proof.Sign(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	public, _, _ := log.PublicKey(t.Context(), "")
	keys := []bundle.Key{{ID: "former", Public: former}, {ID: "now", Public: public}}
	lines, err := logKeysOf(note, keys, true)
	if err != nil || len(lines) != 2 || lines[0].ID != "now" || !lines[0].Now || lines[1].Now {
		t.Fatalf("%+v, %v", lines, err)
	}
	if k, err := proof.ParseKey(lines[0].Key); err != nil || k.Name != c.Origin || !k.Public.Equal(public) {
		t.Errorf("%+v, %v", k, err)
	}
	if lines, err := logKeysOf(note, keys, false); err != nil || len(lines) != 1 {
		t.Errorf("%+v, %v", lines, err)
	}
	if lines, err := logKeysOf(note, keys[:1], true); !errors.Is(err, proof.ErrSignature) {
		t.Errorf("%+v, %v", lines, err)
	}
}
