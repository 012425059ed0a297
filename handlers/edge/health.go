package edge

import (
	"context"
	"net/http"
	"sync"
	"time"

	"coffre/handlers/contract"
)

// healthCache keeps the last status for a second, so that requests for it cost nothing.
type healthCache struct {
	mu     sync.Mutex
	at     time.Time
	status contract.HealthStatus
}

// GetHealth implements the contract's /health: the status that clients may expect, and
// nothing about the parts of the vault.
func (s *Server) GetHealth(ctx context.Context, _ contract.GetHealthRequestObject) (contract.GetHealthResponseObject, error) {
	status := s.healthNow(ctx)
	if status == contract.HealthStatusDOWN {
		return contract.GetHealth503JSONResponse{Status: status}, nil
	}
	return contract.GetHealth200JSONResponse{Status: status}, nil
}

// GetCondition implements GET /condition: the health of this process, with a sentence for each
// reason why it is not UP.
func (s *Server) GetCondition(ctx context.Context, _ contract.GetConditionRequestObject) (contract.GetConditionResponseObject, error) {
	now := contract.Condition{Status: contract.HealthStatusUP, Reasons: []string{}}
	if s.Condition != nil {
		var reasons []string
		now.Status, reasons = s.Condition(ctx)
		now.Reasons = append(now.Reasons, reasons...)
	}
	return contract.GetCondition200JSONResponse(now), nil
}

// GetUsageHeartbeat implements GET /dataTracker/v2/heartbeat: the status of /health in the
// data tracker's words.
func (s *Server) GetUsageHeartbeat(ctx context.Context, _ contract.GetUsageHeartbeatRequestObject) (contract.GetUsageHeartbeatResponseObject, error) {
	beat := contract.UsageHeartbeat{Status: contract.HeartbeatStatusOK}
	if s.healthNow(ctx) == contract.HealthStatusDOWN {
		beat.Status = contract.HeartbeatStatusFAIL
	}
	return contract.GetUsageHeartbeat200JSONResponse(beat), nil
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

// serveHealth answers GET /health at the root of the host with the contract's /health.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	answer, err := s.GetHealth(r.Context(), contract.GetHealthRequestObject{})
	if err == nil {
		err = answer.VisitGetHealthResponse(w)
	}
	if err != nil {
		s.problem(w, r, err)
	}
}
