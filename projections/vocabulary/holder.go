package vocabulary

import (
	"sync/atomic"

	"coffre/domain/registry"
)

// Holder keeps the newest View. The zero Holder is ready; its methods may be
// called concurrently.
type Holder struct{ view atomic.Pointer[View] }

// Current returns the newest view; never nil. Before anything was published it
// knows no word and allows nothing. A handler calls it once per request, so that
// one request is judged by one version.
func (h *Holder) Current() *View {
	if v := h.view.Load(); v != nil {
		return v
	}
	return new(View)
}

// Apply compiles what was published and serves it from now on, unless as new a
// version is served already: registries may arrive twice and in any order. On an
// error (see Compile) the former view stays.
func (h *Holder) Apply(p registry.Published) error {
	if p.Version <= h.Current().Version() {
		return nil
	}
	next, err := Compile(p)
	if err != nil {
		return err
	}
	for {
		now := h.view.Load()
		if now != nil && now.Version() >= next.Version() {
			return nil
		}
		if h.view.CompareAndSwap(now, next) {
			return nil
		}
	}
}
