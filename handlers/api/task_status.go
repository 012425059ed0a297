package api

import (
	"net/http"
	"time"

	"coffre/domain"
	"coffre/handlers/contract"
)

// pollAfter is when it is worth looking again.
const pollAfter = time.Second

// taskProblem is a refusal as the status of a task shows it.
func taskProblem(said *domain.Error) contract.Problem {
	status := statuses[said.Code]
	return contract.Problem{Type: coffre + said.Slug, Title: http.StatusText(status), Status: status, Detail: said.Detail}
}
