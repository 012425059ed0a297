package kurrent_test

import (
	"testing"
	"time"

	"coffre/eventstore"
	"coffre/eventstore/faulty/faultnet"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/kurrent/given"
	"coffre/eventstore/memory"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/storetest"
)

// reopening closes a store, whatever that says in a storm, and opens it anew.
func reopening(opening func(testing.TB) eventstore.Store) storetest.Harness {
	return storetest.Harness{Open: opening, Reopen: func(t testing.TB, s eventstore.Store) eventstore.Store {
		s.Close()
		return opening(t)
	}}
}

// TestStormSoak lets the server restart and the network break while stores are
// opened anew, over memory and over SQLite; or a real server with files be killed, where
// one is given.
func TestStormSoak(t *testing.T) {
	if given.Program() != "" {
		server := startGiven(t, t.TempDir())
		opening := func(t testing.TB) eventstore.Store {
			return openAt(t, server.Address, kurrent.Options{MaxAppend: 16 << 20})
		}
		storetest.Storm{
			Harness: reopening(opening),
			Disturb: []func(testing.TB){func(t testing.TB) {
				if err := server.Kill(); err != nil {
					t.Error(err)
				}
				if err := server.Again(t.Context()); err != nil {
					t.Error(err)
				}
			}},
		}.Run(t)
		return
	}
	for name, inner := range map[string]func(testing.TB) eventstore.Store{
		"memory": func(testing.TB) eventstore.Store { return memory.New() },
		"sqlite": func(t testing.TB) eventstore.Store {
			s, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &restarting{t: t, store: inner(t), addr: "127.0.0.1:0"}
			r.start()
			defer r.stop()
			p, err := faultnet.New(r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			slow := false
			opening := func(t testing.TB) eventstore.Store { return open(t, p.Addr(), kurrent.Options{MaxAppend: 16 << 20}) }
			storetest.Storm{
				Harness: reopening(opening),
				Disturb: []func(testing.TB){
					func(testing.TB) { r.stop(); r.start() },
					func(testing.TB) { p.Cut() },
					func(testing.TB) {
						if slow = !slow; slow {
							p.Delay(2 * time.Millisecond)
						} else {
							p.Heal()
						}
					},
				},
			}.Run(t)
		})
	}
}
