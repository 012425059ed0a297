package api

import (
	"context"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/edge"
)

// explainRefusal names, in a refusal of an evidence query's basis, every member of the query
// that the basis does not cover. Only a consumer with some basis for the citizen gets it: by
// law, whoever is named, or by a consent in force. Every other consumer gets the refusal as it
// is, to the byte (rule A-6), and so does one that a restriction of processing stops (P-5).
func (v *Vault) explainRefusal(ctx context.Context, in acting.Intent, subject domain.CitizenID, needs []*need, f disclosure.Findings, refusal error) error {
	switch {
	case errors.Is(refusal, access.ErrRestricted):
		return refusal
	case errors.Is(refusal, access.ErrNoBasis):
		known, err := v.mayName(ctx, in.Call, subject)
		if err != nil || !known {
			return errors.Join(err, refusal)
		}
	case !errors.Is(refusal, access.ErrNotCovered): // it says itself what is wrong
		return refusal
	}
	issues := uncoveredWords(in, needs, f)
	if len(issues) == 0 {
		return refusal
	}
	if errors.Is(refusal, access.ErrNoBasis) {
		refusal = access.ErrWords
	}
	return edge.Explained(refusal, issues)
}

// uncoveredWords returns an issue for each member of the query that its basis does not cover,
// each member once.
func uncoveredWords(in acting.Intent, needs []*need, f disclosure.Findings) []contract.InputValidationIssue {
	var issues []contract.InputValidationIssue
	named := make(map[string]bool)
	add := func(pointer, slug, detail string) {
		if !named[pointer] {
			named[pointer] = true
			issues = append(issues, contract.InputValidationIssue{Type: edge.IssuePrefix + slug, Title: "Not covered", Detail: detail, In: contract.IssueLocationBody, Name: pointer})
		}
	}
	for i, n := range needs {
		at := fmt.Sprintf("/needs/%d", i)
		switch err := n.CheckBasis(in, f); {
		case errors.Is(err, access.ErrRestricted):
		case errors.Is(err, access.ErrNoBasis):
			switch word := n.Lacking(in, f); word {
			case "":
			case access.WordDocumentType:
				add(at+"/documentType", "wordNotCovered", "the basis does not cover this type of document")
			case access.WordConsent:
				add("/consentId", "wordNotCovered", "this citizen gave you no such consent")
			default:
				add("/"+string(word), "wordNotCovered", "with the words before it you have no registration for this one; GET /registry with your token shows yours")
			}
		case errors.Is(err, access.ErrNotCovered):
			for _, pointer := range n.uncoveredFields(in, f, at) {
				add(pointer, "fieldNotCovered", "the basis does not cover this; minimum in GET /registry shows what the type offers for the purpose")
			}
		}
	}
	return issues
}

// uncoveredFields returns the places of what a need asks for and its basis does not cover: the
// fields one by one, the predicate, or the type when it offers nothing.
func (n *need) uncoveredFields(in acting.Intent, f disclosure.Findings, at string) []string {
	switch {
	case n.Predicate != "":
		return []string{at + "/predicate/name"}
	case len(n.Fields) == 0:
		return []string{at + "/documentType"}
	}
	var places []string
	for i := range n.Fields {
		one := n.Reading
		one.Fields = n.Fields[i : i+1]
		if one.CheckBasis(in, f) != nil {
			places = append(places, fmt.Sprintf("%s/fields/%d", at, i))
		}
	}
	return places
}
