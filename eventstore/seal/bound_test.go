package seal_test

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/memory"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/ringtest"
)

// anything is a decider that records the event it is given.
var anything = eventstore.Decider[int, any]{Evolve: func(n int, _ any) int { return n + 1 }}

type happened struct{ event any }

func (h happened) Decide(int) ([]any, error) { return []any{h.event}, nil }

// sealedEvents returns the sample of every event that is written today and has a personal
// part.
func sealedEvents(t *testing.T) map[string]any {
	t.Helper()
	events := map[string]any{}
	for name, typ := range codec.Catalog.Names() {
		if _, personal := typ.FieldByName("Personal"); !personal {
			continue
		}
		file, err := os.ReadFile(filepath.Join("..", "codec", "testdata", "events", strings.ReplaceAll(name, "/", ".")+".json"))
		check(t, err)
		var sample struct{ Clear, Personal json.RawMessage }
		check(t, json.Unmarshal(file, &sample))
		event, err := codec.Catalog.Decode(name, sample.Clear, sample.Personal)
		check(t, err)
		if again, _, _, err := codec.Catalog.Encode(event); err != nil || again != name {
			continue // an old form, which is read as another
		}
		if unseen := slices.DeleteFunc(members(typ, ""), func(m string) bool { return slices.Contains(leaves(t, sample.Clear), m) }); len(unseen) > 0 {
			t.Fatalf("the sample of %s does not show %v: nobody would notice that they are not bound", name, unseen)
		}
		events[name] = event
	}
	if len(events) < 5 {
		t.Fatalf("only %d events have a personal part", len(events))
	}
	return events
}

// members lists the members that a type has in JSON, those of its members with their path.
func members(typ reflect.Type, path string) []string {
	text, own := reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[json.Marshaler]()
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ.Implements(text) || typ.Implements(own) || reflect.PointerTo(typ).Implements(text) {
		return []string{path}
	}
	var all []string
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if name != "-" {
			all = append(all, members(typ.Field(i).Type, path+"."+name)...)
		}
	}
	return all
}

// leaves lists the paths of a JSON value's members that are neither object nor array.
func leaves(t *testing.T, value []byte) []string {
	t.Helper()
	var all []string
	for path := range changes(t, value) {
		all = append(all, path)
	}
	return all
}

// changes returns, by path, the JSON value with one of its leaves changed and not a byte
// besides.
func changes(t *testing.T, value []byte) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	dec := jsontext.NewDecoder(bytes.NewReader(value))
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		if kind, length := dec.StackIndex(dec.StackDepth()); kind == '{' && length%2 == 1 {
			continue // a member's name
		}
		end := int(dec.InputOffset())
		var other string
		switch token.Kind() {
		case '"':
			other = `x"`
			end--
		case '0':
			other = "1"
		case 't', 'f':
			other = "0"
		default:
			continue
		}
		var path string
		for part := range dec.StackPointer().Tokens() {
			if part[0] < '0' || part[0] > '9' {
				path += "." + part
			}
		}
		rest := value[dec.InputOffset():]
		all[path] = slices.Concat(value[:end], []byte(other), rest)
	}
	if len(all) == 0 {
		t.Fatal("a value without members")
	}
	return all
}

// vaultOf is a log on a store in memory with the keys that seal for one citizen.
type vaultOf struct {
	log     *eventstore.Log
	opener  seal.Opener
	citizen domain.CitizenID
}

func newVaultOf(t *testing.T) vaultOf {
	t.Helper()
	r := ringtest.New(t)
	log := eventstore.NewLog(eventstore.Options{Store: memory.New(), Codec: codec.Catalog, Sealer: seal.Sealer{Ring: r.Ring}})
	return vaultOf{log, seal.Opener{Ring: r.Ring}, ringtest.Citizen(t, r, 1)}
}

// allMetadata is metadata with every member set.
func allMetadata(t *testing.T) eventstore.Meta {
	t.Helper()
	other := domain.CitizenID{UUID: uuid.New()}
	m := eventstore.Meta{
		Actor:      domain.Actor{Role: domain.RoleRepresentative, Organisation: "0206731645", Citizen: other, Subject: "c3ViamVjdA", Door: "socket", Why: "drill", Case: "1.Y2FzZQ"},
		OnBehalfOf: "0206731645", Represents: other, Correlation: uuid.New(), Causation: uuid.New(),
		SchemaVersion: 1, Registry: 3, BasedOn: []eventstore.Reference{"document-1@2", "consent-1@0"},
		Call: &eventstore.Call{Operation: "getDocument", Token: []byte{1, 2, 3}, Client: "wallet"},
	}
	b, err := json.Marshal(m)
	check(t, err)
	shown := leaves(t, b)
	for _, member := range members(reflect.TypeFor[eventstore.Meta](), "") {
		if !slices.Contains(shown, member) {
			t.Fatalf("this test sets no %s: nobody would notice that it is not bound", member)
		}
	}
	return m
}

// record appends an event behind others and returns its record as it is read.
func (v vaultOf) record(t *testing.T, s eventstore.Stream, event any, reserved bool) eventstore.Event {
	t.Helper()
	transact := anything.Transact
	if reserved {
		transact = anything.TransactReserved
	}
	_, err := transact(t.Context(), v.log, eventstore.Write{Stream: s, Citizen: v.citizen, Meta: allMetadata(t)}, happened{event})
	check(t, err)
	var last eventstore.Event
	for e, err := range v.log.Read(t.Context(), s, 0) {
		check(t, err)
		last = e
	}
	return last
}

// opens tells whether the personal part of an event opens; any error but tampering ends
// the test.
func (v vaultOf) opens(t *testing.T, e eventstore.Event) bool {
	t.Helper()
	_, err := eventstore.OpenEvent(t.Context(), v.opener, codec.Catalog, e)
	_, kept := eventstore.OpenKept(t.Context(), v.opener, nil, eventstore.Place{Stream: e.Stream, ID: e.ID, Type: e.Type}, e.Keep())
	for _, err := range []error{err, kept} {
		if err != nil && !errors.Is(err, eventstore.ErrTampered) {
			t.Fatal(err)
		}
	}
	if (err == nil) != (kept == nil) {
		t.Fatalf("from the log: %v, from a read model: %v", err, kept)
	}
	return err == nil
}

// Whoever can write to the database cannot give a sealed part other facts, other
// metadata or another place: each member that a record has in clear, of every event of
// the catalogue, is changed in turn, and the part does not open.
func TestASealedPartOpensBesideItsOwnFactsOnly(t *testing.T) {
	v := newVaultOf(t)
	for name, event := range sealedEvents(t) {
		for _, reserved := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s reserved=%t", name, reserved), func(t *testing.T) {
				s := eventstore.Stream("document-" + uuid.NewString())
				first := v.record(t, s, event, false)
				whole := v.record(t, s, event, reserved)
				if whole.Revision != 1 || !v.opens(t, whole) {
					t.Fatal("what was recorded does not open")
				}
				refused := func(what string, change func(*eventstore.Event)) {
					t.Helper()
					e := whole
					change(&e)
					if v.opens(t, e) {
						t.Errorf("opens with %s", what)
					}
				}
				for what, clear := range changes(t, whole.Clear) {
					refused("clear"+what, func(e *eventstore.Event) { e.Clear = clear })
				}
				for what, meta := range changes(t, whole.Meta) {
					refused("metadata"+what, func(e *eventstore.Event) { e.Meta = meta })
				}
				record := reflect.TypeFor[eventstore.Record]()
				for i := range record.NumField() {
					field := record.Field(i).Name
					change, known := map[string]func(*eventstore.Event){
						"Stream":   func(e *eventstore.Event) { e.Stream = "document-" + eventstore.Stream(uuid.NewString()) },
						"Revision": func(e *eventstore.Event) { e.Revision++ }, // replayed behind itself
						"ID":       func(e *eventstore.Event) { e.ID = uuid.New() },
						"Type":     func(e *eventstore.Event) { e.Type += "0" },
						"Time":     func(e *eventstore.Event) { e.Time = e.Time.Add(time.Microsecond) },
						"Meta":     func(e *eventstore.Event) { e.Meta = nil },
						"Clear":    func(e *eventstore.Event) { e.Clear = append(bytes.Clone(e.Clear), ' ') },
						"Sealed":   func(e *eventstore.Event) { e.Sealed = first.Sealed }, // the same stream's, of another event
						"Position": nil,                                                   // the store's own; it differs from copy to copy
						"Sum":      nil,                                                   // computed by the store that reads it, and recorded by nobody
					}[field]
					switch {
					case !known:
						t.Errorf("a record's %s is new: bind it", field)
					case change == nil:
					case field == "Revision" && reserved: // nobody knew it when the part was sealed
						e := whole
						if change(&e); !v.opens(t, e) {
							t.Error("what was sealed for any revision opens at one only")
						}
					default:
						refused("another "+field, change)
					}
				}
			})
		}
	}
}
