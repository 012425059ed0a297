package citizen

import (
	"fmt"
	"slices"
	"strings"

	"coffre/domain"
	"coffre/domain/registry"
)

var (
	ErrLegalHold     = domain.NewError(domain.Conflict, "legalHold", "a legal hold stands, so nothing may be erased")
	ErrRetentionDuty = domain.NewError(domain.Conflict, "retentionDuty", "the law obliges to keep this for now")
)

// RetainedDocument is one document, as far as the duty to keep it is concerned.
type RetainedDocument struct {
	Document domain.DocumentID
	Type     domain.DocumentType
	Issued   domain.Date
	// Ended is the end of validity or revocation, whichever came first. Absent: it
	// has not ended, or the date cannot be read, and a duty that runs from then stands.
	Ended     domain.Date
	Retention registry.Retention
}

// Duty is a document that the law obliges to keep.
type Duty struct {
	Document domain.DocumentID
	Type     domain.DocumentType
	Rule     domain.ReasonCode
	Until    domain.Date // first day on which it may go; absent: not known yet
}

// duty implements the retention part of E-1 for one document.
func (r RetainedDocument) duty(today domain.Date) (Duty, bool) {
	if !r.Retention.Duty {
		return Duty{}, false
	}
	from := r.Issued
	if r.Retention.From == registry.FromEnd {
		from = r.Ended
	}
	d := Duty{Document: r.Document, Type: r.Type, Rule: r.Retention.Rule}
	if !from.IsZero() {
		d.Until = from.AddYears(r.Retention.Years)
	}
	return d, d.Until.IsZero() || today.Before(d.Until)
}

// Due returns the day since which retention no longer asks to keep the document,
// whether the law or the registry's own term did; ok is false while it does.
func (r RetainedDocument) Due(today domain.Date) (since domain.Date, ok bool) {
	since = r.Retention.Until(r.Issued, r.Ended)
	return since, !since.IsZero() && !today.Before(since)
}

// Obstacles is the refusal of an erasure, with everything that stands in its way
// (rule E-1). It matches ErrLegalHold, ErrRetentionDuty and ErrRestrictionStands, those
// that apply.
type Obstacles struct {
	Holds        []Hold
	Duties       []Duty
	Restrictions []Restriction
}

func (o *Obstacles) Error() string {
	var why []string
	for _, h := range o.Holds {
		why = append(why, fmt.Sprintf("legal hold %s (%s)", h.ID, h.Reason))
	}
	for _, d := range o.Duties {
		why = append(why, fmt.Sprintf("%s %s kept under %s", d.Type, d.Document, d.Rule))
	}
	for _, r := range o.Restrictions {
		why = append(why, fmt.Sprintf("restriction %s (%s)", r.ID, r.Reason))
	}
	return "erasure refused: " + strings.Join(why, "; ")
}

// Unwrap returns the refusals.
func (o *Obstacles) Unwrap() []error {
	var errs []error
	if len(o.Holds) > 0 {
		errs = append(errs, ErrLegalHold)
	}
	if len(o.Duties) > 0 {
		errs = append(errs, ErrRetentionDuty)
	}
	if len(o.Restrictions) > 0 {
		errs = append(errs, ErrRestrictionStands)
	}
	return errs
}

// duties returns the duties to keep that stand in the way of an erasure, judged for
// each content key it would destroy.
func (e Erasure) duties(documents []RetainedDocument, today domain.Date) []Duty {
	var all []Duty
	for _, r := range documents {
		if d, stands := r.duty(today); stands && e.covers(r.Document) {
			all = append(all, d)
		}
	}
	return all
}

// covers reports whether the erasure destroys the document's key.
func (e Erasure) covers(d domain.DocumentID) bool {
	return e.Scope == WholeCitizen || e.Document == d
}

// coversAny reports whether the erasure would destroy the key of one of the
// documents; that of a citizen always has a key to destroy.
func (e Erasure) coversAny(documents []RetainedDocument) bool {
	return e.Scope == WholeCitizen || slices.ContainsFunc(documents, func(r RetainedDocument) bool { return e.covers(r.Document) })
}
