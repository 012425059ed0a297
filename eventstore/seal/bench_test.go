package seal_test

import (
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/ringtest"
)

func benchPlace() eventstore.Place {
	return eventstore.Place{Stream: eventstore.Stream("document-" + uuid.NewString()), ID: uuid.New(), Type: "document.issued/1"}
}

func BenchmarkSealWarm(b *testing.B) {
	r := ringtest.New(b)
	c, p, plain := ringtest.Citizen(b, r, 1), benchPlace(), make([]byte, 1<<10)
	s := seal.Sealer{Ring: r.Ring}
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(b.Context(), c, p, plain); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenWarm(b *testing.B) {
	r := ringtest.New(b)
	c, p, plain := ringtest.Citizen(b, r, 1), benchPlace(), make([]byte, 1<<10)
	s := seal.Sealer{Ring: r.Ring}
	part, err := s.Seal(b.Context(), c, p, plain)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, len(plain))
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (seal.Opener{Ring: r.Ring}).Open(b.Context(), dst, p, part); err != nil {
			b.Fatal(err)
		}
	}
}

// Keys that are not in memory: one read, one unwrap.
func BenchmarkOpenCold(b *testing.B) {
	r := ringtest.New(b)
	c, p := ringtest.Citizen(b, r, 1), benchPlace()
	s := seal.Sealer{Ring: r.Ring}
	part, err := s.Seal(b.Context(), c, p, make([]byte, 1<<10))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r.Ring.Forget(c)
		if _, err := (seal.Opener{Ring: r.Ring}).Open(b.Context(), nil, p, part); err != nil {
			b.Fatal(err)
		}
	}
}

// A new stream each time: its key is durable before anything is sealed with it.
func BenchmarkSealNewStream64Callers(b *testing.B) {
	r := ringtest.New(b)
	citizens := make([]domain.CitizenID, 64)
	for i := range citizens {
		citizens[i] = ringtest.Citizen(b, r, i)
	}
	s, plain := seal.Sealer{Ring: r.Ring}, make([]byte, 1<<10)
	var caller atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c := citizens[caller.Add(1)%64]
		for pb.Next() {
			if _, err := s.Seal(b.Context(), c, benchPlace(), plain); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEnroll64Callers(b *testing.B) {
	r := ringtest.New(b)
	var n atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := r.Enroll(b.Context(), ringtest.SSIN(int(n.Add(1)))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkResolveWarm(b *testing.B) {
	r := ringtest.New(b)
	ringtest.Citizen(b, r, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Resolve(b.Context(), ringtest.SSIN(1)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDocumentID(b *testing.B) {
	r := ringtest.New(b)
	c := ringtest.Citizen(b, r, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.DocumentID(b.Context(), c, "0206731645", "isiPlusCard", "reference"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrefetch1000(b *testing.B) {
	r := ringtest.New(b)
	citizens := make([]domain.CitizenID, 1000)
	for i := range citizens {
		citizens[i] = ringtest.Citizen(b, r, i)
	}
	for b.Loop() {
		b.StopTimer()
		for _, c := range citizens {
			r.Ring.Forget(c)
		}
		b.StartTimer()
		if err := r.Prefetch(b.Context(), citizens); err != nil {
			b.Fatal(err)
		}
	}
}
