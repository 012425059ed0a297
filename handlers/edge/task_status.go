package edge

import (
	"net/http"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
)

// PollAfter is the pause after which a client should ask for a task's status again.
const PollAfter = time.Second

// TaskProblem returns a refusal in the form in which the status of a task shows it.
func TaskProblem(said *domain.Error) contract.Problem {
	status := Statuses[said.Code]
	return contract.Problem{Type: ProblemPrefix + said.Slug, Title: http.StatusText(status), Status: status, Detail: said.Detail}
}
