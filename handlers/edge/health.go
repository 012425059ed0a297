package edge

import (
	"context"
	"net/http"
	"sync"
	"time"

	"coffre/handlers/contract"
)

// healthCache keeps the last answer for a second, so that asking costs nothing.
type healthCache struct {
	mu     sync.Mutex
	at     time.Time
	status contract.HealthStatus
}

// GetHealth implements the contract's /health: what clients may expect, and no
// word about what the vault is made of.
func (s *Server) GetHealth(ctx context.Context, _ contract.GetHealthRequestObject) (contract.GetHealthResponseObject, error) {
	status := s.healthNow(ctx)
	if status == contract.HealthStatusDOWN {
		return contract.GetHealth503JSONResponse{Status: status}, nil
	}
	return contract.GetHealth200JSONResponse{Status: status}, nil
}

func (s *Server) healthNow(ctx context.Context) contract.HealthStatus {
	if s.Health == nil {
		return contract.HealthStatusUP
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if now := s.Now(); s.health.status == "" || now.Sub(s.health.at) >= time.Second || now.Before(s.health.at) {
		s.health.at, s.health.status = now, s.Health(ctx)
	}
	return s.health.status
}

// serveHealth is the same at the root of the host.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	answer, err := s.GetHealth(r.Context(), contract.GetHealthRequestObject{})
	if err == nil {
		err = answer.VisitGetHealthResponse(w)
	}
	if err != nil {
		s.problem(w, r, err)
	}
}
