package edge

import (
	"fmt"
	"net/http"

	"coffre/domain"
)

// Operators returns the handler of an address for operators: the metrics, and why the process
// takes no requests. Strangers see neither: metrics tell the size of the log and when others
// did what. Whoever reaches the address may read it, so it is not the public one.
func (s *Server) Operators() http.Handler {
	rt := &routes{s: s, mux: http.NewServeMux()}
	serve := func(pattern string, h http.Handler) {
		rt.serve(pattern, h)
		rt.openPath(pattern)
	}
	if s.Metrics != nil {
		serve("GET /metrics", s.Metrics)
	}
	serve("GET /livez", http.HandlerFunc(s.serveLive))
	serve("GET /health", http.HandlerFunc(s.serveHealth))
	serve("GET /readyz", http.HandlerFunc(s.serveReadyInDetail))
	rt.mux.HandleFunc("/", rt.serveUnknown)
	return rt
}

// serveReadyInDetail answers as serveReady does, with the reason, or the detail.
func (s *Server) serveReadyInDetail(w http.ResponseWriter, r *http.Request) {
	if s.Ready != nil {
		if err := s.Ready(r.Context()); err != nil {
			s.problem(w, r, domain.NewError(errNotReady.Code, errNotReady.Slug, fmt.Sprintf("%s: %v", errNotReady.Detail, err))) // err ends here, as text
			return
		}
	}
	s.serveReady(w, r)
	if s.Detail != nil {
		_, _ = fmt.Fprintln(w, s.Detail(r.Context())) // nothing to do about a client that left
	}
}
