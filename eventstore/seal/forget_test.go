package seal

import (
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
)

// E-3: a content key that was opened with a citizen's key while that was being forgotten,
// and stored before the forgetting ended, is forgotten with it.
func TestForgetAgainstALoadInBetween(t *testing.T) {
	citizen, bystander := domain.CitizenID{UUID: uuid.New()}, domain.CitizenID{UUID: uuid.New()}
	const stream, other eventstore.Stream = "document-a", "document-b"
	for name, forget := range map[string]func(*Ring){
		"one citizen": func(r *Ring) { r.forget([]domain.CitizenID{citizen}, nil) },
		"all":         (*Ring).forgetAll,
	} {
		t.Run(name, func(t *testing.T) {
			r := &Ring{}
			var began uint64 // the ring's count when a load took the citizen's key
			loads := 0
			r.subjects = newCache[domain.CitizenID](64, func(*subject) { began = r.gen.Load() })
			r.streams = newCache[eventstore.Stream](64, func(*contentKey) {})
			r.numbers = newCache[[32]byte](64, func(domain.CitizenID) {})
			r.refs = newCache[refKey](64, func(domain.CitizenRef) { // its streams are gone already
				if r.streams.put(stream, &contentKey{citizen: citizen, gen: began}, r.unmoved(began)) {
					loads++
				}
			})
			now := r.unmoved(0)
			r.subjects.put(citizen, &subject{citizen: citizen}, now)
			r.refs.put(refKey{citizen: citizen}, domain.CitizenRef{}, now)
			r.streams.put(other, &contentKey{citizen: bystander}, now)

			forget(r)
			if loads != 1 {
				t.Fatalf("%d loads stored a key in between: this shows nothing", loads)
			}
			if _, there := r.streams.get(stream); there {
				t.Error("E-3 the content key is in memory after its citizen was forgotten")
			}
			if _, there := r.streams.get(other); there != (name == "one citizen") {
				t.Errorf("another citizen's key is in memory: %t", there)
			}
			if r.streams.put(stream, &contentKey{citizen: citizen, gen: began}, r.unmoved(began)) {
				t.Error("E-3 a load that began before the end stores its key after it")
			}
		})
	}
}
