package access

import (
	"slices"

	"coffre/domain"
	"coffre/domain/document"
	"coffre/domain/registry"
)

var (
	ErrNotCovered   = domain.NewError(domain.Forbidden, "fieldsNotCovered", "the basis does not cover all that is asked")
	ErrWords        = domain.NewError(domain.Forbidden, "wordsNotCovered", "the basis that is stated does not cover what is asked; the issues name the words")
	ErrQuestion     = domain.NewError(domain.Invalid, "accessQuestion", "an access asks for a document's fields, or for one predicate of its type")
	ErrSuspended    = domain.NewError(domain.Conflict, "documentSuspended", "the document is suspended; do not rely on it")
	ErrUnreadable   = domain.NewError(domain.Unavailable, "documentUnreadable", "the document's dates cannot be read now, so nothing is disclosed")
	ErrCaseHidden   = domain.NewError(domain.Invalid, "caseUnderInvestigation", "what is read under an investigation names the investigation and no case reference, of which a trace would stay")
	ErrDocumentGone = document.ErrContentDestroyed
)

// Question is what a reader asks about one document, with what the vault knows
// of it.
type Question struct {
	Kind      Opened                // OpenedDocument, OpenedPredicate or OpenedAttachment
	Type      registry.DocumentType // as the registry in force has it; zero when there is no such document
	Document  document.Snapshot     // of today; zero when nothing is held
	Purpose   domain.Purpose
	Procedure domain.Procedure       // may be absent
	Fields    []domain.Field         // for OpenedDocument; none: all that are covered
	Predicate registry.PredicateName // for OpenedPredicate
	// Attachment is for OpenedAttachment; the caller saw that the document has it, or
	// leaves it absent.
	Attachment domain.AttachmentID
}

// Covered implements A-2: it returns the fields to disclose, which for a
// predicate are none and for a file the one that stands for all files. They are what the registry lets a reader learn for the
// purpose, or for the procedure if it says that apart, and of that no more than
// limit; an empty limit does not limit.
func (q Question) Covered(limit []domain.Field) ([]domain.Field, error) {
	within := func(f domain.Field) bool { return len(limit) == 0 || slices.Contains(limit, f) }
	least := q.minimum()
	switch {
	case q.Kind == OpenedPredicate && q.Predicate != "" && len(q.Fields) == 0:
		for _, p := range q.Type.Predicates {
			learnt := slices.Contains(least.Predicates, p.Name) || slices.Contains(least.Fields, p.AgeAtLeast.Field)
			if p.Name == q.Predicate && learnt && within(p.AgeAtLeast.Field) {
				return nil, nil
			}
		}
		return nil, ErrNotCovered
	case q.Kind == OpenedAttachment && q.Predicate == "" && len(q.Fields) == 0:
		if !slices.Contains(least.Fields, registry.Attachments) || !within(registry.Attachments) {
			return nil, ErrNotCovered
		}
		return []domain.Field{registry.Attachments}, nil
	case q.Kind == OpenedDocument && q.Predicate == "" && q.Attachment.IsZero():
		var fields []domain.Field
		for _, f := range least.Fields {
			if within(f) && (len(q.Fields) == 0 || slices.Contains(q.Fields, f)) {
				fields = append(fields, f)
			}
		}
		for _, f := range q.Fields {
			if !slices.Contains(fields, f) {
				return nil, ErrNotCovered
			}
		}
		if len(fields) == 0 {
			return nil, ErrNotCovered
		}
		return fields, nil
	}
	return nil, ErrQuestion
}

// minimum returns what the type offers for the purpose: for the procedure, if
// the registry says that apart, else for the purpose whatever the procedure.
func (q Question) minimum() registry.Minimum {
	var general registry.Minimum
	for _, m := range q.Type.Minimum {
		switch {
		case m.Purpose != q.Purpose:
		case m.Procedure == "":
			general = m
		case m.Procedure == q.Procedure:
			return m
		}
	}
	return general
}

// Held refuses to disclose what is not held, or not to be relied on (rules D-2
// and E-3). It is asked after the basis (rule A-6). A document that is not yet
// valid or has expired is disclosed and says so (rule D-6).
func (q Question) Held() error {
	switch q.Document.Status {
	case document.Valid, document.NotYetValid, document.Expired:
		switch {
		case q.Document.Version == 0:
			return ErrUnreadable
		case q.Kind == OpenedAttachment && q.Attachment.IsZero():
			return document.ErrNoAttachment
		}
		return nil
	case document.IsRevoked:
		return document.ErrRevoked
	case document.IsSuspended:
		return ErrSuspended
	case document.IsErased:
		return ErrErased
	case document.UnknownDates:
		return ErrUnreadable
	}
	return document.ErrNotFound
}
