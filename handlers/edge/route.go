package edge

import "strings"

// Route is how the contract has an operation called, and with which status it answers who
// succeeds.
type Route struct {
	Method  string
	Path    string // with the names of its parameters: "/vault/v1/documents/{documentId}/access"
	Success int
}

// RouteOf returns the route of an operation of the contract; false for any other word.
func RouteOf(operation string) (Route, bool) {
	op := operationsByID()[operation]
	if op == nil {
		return Route{}, false
	}
	method, path, _ := strings.Cut(op.pattern, " ")
	return Route{method, path, op.success}, true
}
