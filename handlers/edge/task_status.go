package edge

import (
	"net/http"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
)

// PollAfter is when it is worth looking again.
const PollAfter = time.Second

// TaskProblem is a refusal as the status of a task shows it.
func TaskProblem(said *domain.Error) contract.Problem {
	status := Statuses[said.Code]
	return contract.Problem{Type: ProblemPrefix + said.Slug, Title: http.StatusText(status), Status: status, Detail: said.Detail}
}
