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
// is, to the byte (rule A-6).
func (v *Vault) explainRefusal(ctx context.Context, in acting.Intent, subject domain.CitizenID, needs []*need, f disclosure.Findings, refusal error) error {
	switch {
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
			issues = append(issues, notCovered(pointer, slug, detail))
		}
	}
	for i, n := range needs {
		at := fmt.Sprintf("/needs/%d", i)
		switch err := n.CheckBasis(in, f); {
		case errors.Is(err, access.ErrNoBasis):
			switch word := n.Lacking(in, f); word {
			case "":
			case access.WordDocumentType:
				add(at+"/documentType", "wordNotCovered", "the basis does not cover this type of document; GET /registry with your token shows which your registrations do")
			case access.WordConsent:
				add("/consentId", "wordNotCovered", "this citizen gave you no such consent")
			default:
				add("/"+string(word), "wordNotCovered", "with the words before it you have no registration for this one; GET /registry with your token shows yours")
			}
		case errors.Is(err, access.ErrNotCovered):
			for _, pointer := range n.uncoveredFields(in, f, at) {
				add(pointer, "fieldNotCovered", fieldNotCovered)
			}
		}
	}
	return issues
}

// uncoveredFields returns the places of what a need asks for and its basis does not cover: the
// fields one by one, the predicate, or the type when it offers nothing.
func (n *need) uncoveredFields(in acting.Intent, f disclosure.Findings, at string) []string {
	return uncoveredMembers(in, n.Reading, f, at, at+"/documentType")
}

// uncoveredMembers returns the places, under a place of the request, of what a reading asks for
// and its basis does not cover: the fields one by one, or the predicate; whole when it asks for
// all that is offered, which is nothing.
func uncoveredMembers(in acting.Intent, r disclosure.Reading, f disclosure.Findings, at, whole string) []string {
	switch {
	case r.Predicate != "":
		return []string{at + "/predicate/name"}
	case len(r.Fields) == 0:
		return []string{whole}
	}
	var places []string
	for i := range r.Fields {
		one := r
		one.Fields = r.Fields[i : i+1]
		if one.CheckBasis(in, f) != nil {
			places = append(places, fmt.Sprintf("%s/fields/%d", at, i))
		}
	}
	return places
}

// explainAccess names, in the refusal of a reading of one document, every member of the request
// that its basis does not cover. Only where there is a basis does a refusal say that it covers
// too little, so every other stays as it is, to the byte (rule A-6).
func explainAccess(in acting.Intent, d disclosure.Disclosed, refusal error) error {
	if !errors.Is(refusal, access.ErrNotCovered) {
		return refusal
	}
	var issues []contract.InputValidationIssue
	for _, pointer := range uncoveredMembers(in, d.Reading, d.Findings, "", "/purpose") {
		issues = append(issues, notCovered(pointer, "fieldNotCovered", fieldNotCovered))
	}
	if len(issues) == 0 {
		return refusal
	}
	return edge.Explained(refusal, issues)
}

// fieldNotCovered says where to look up what a basis may cover.
const fieldNotCovered = "the basis does not cover this; minimum in GET /registry shows what the type offers for the purpose"

func notCovered(pointer, slug, detail string) contract.InputValidationIssue {
	return contract.InputValidationIssue{Type: edge.IssuePrefix + slug, Title: "Not covered", Detail: detail, In: contract.IssueLocationBody, Name: pointer}
}
