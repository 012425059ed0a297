package edge

import (
	"slices"
	"strings"
	"sync"

	"coffre/handlers/contract"
)

// placedError is a refusal of input with the place of what it refuses.
type placedError struct {
	error
	in   contract.IssueLocation
	name string
}

func (e placedError) Unwrap() error { return e.error }

// At wraps a refusal with the place of what it refuses, where places cannot tell: name is a
// parameter's, or a JSON Pointer made of the contract's names. nil stays nil.
func At(in contract.IssueLocation, name string, err error) error {
	if err == nil {
		return nil
	}
	return placedError{err, in, name}
}

// places lists, by the slug of a refusal of input, the members and parameters that it can
// be about. The first that the operation has is told. An empty list is the body as a whole.
var places = map[string][]string{
	"accessQuestion":          {"/predicate", "/fields"},
	"affectedPeriod":          {"/until"},
	"birthDateMissing":        {"/parents"},
	"caseUnderInvestigation":  {"/caseReference"},
	"citizenNotErased":        {"/ssin"},
	"citizenNotInformed":      {"/citizenInformed"},
	"consentLimits":           {"/limits"},
	"consentPeriod":           {"/until"},
	"consentTerms":            {"/documentTypes"},
	"consentWider":            {},
	"correctionKind":          {"/survivingCitizenId"},
	"dateBeforeBirth":         {"/date"},
	"dateInFuture":            {"/date", "/citizenInformed"},
	"dateMissing":             {"/date"},
	"documentIncomplete":      {"/content"},
	"effectiveBeforeIssue":    {"/effectiveFrom"},
	"effectiveFromMissing":    {"/effectiveFrom"},
	"erasureScope":            {"/documentId"},
	"fileContent":             {},
	"invalidAttachments":      {"/attachments"},
	"invalidContent":          {"/content"},
	"invalidDate":             {"/validFrom", "/until", "/date"},
	"invalidEnterpriseNumber": {"/consumer", "organization"},
	"invalidSsin":             {"/ssin"},
	"invalidTime":             {},
	"invalidValidity":         {"/validUntil"},
	"investigationEnd":        {"/until"},
	"investigationReason":     {"/reason"},
	"legalBasisMissing":       {"/legalBasis"},
	"lookupReason":            {"/reason"},
	"mandateEnd":              {"/until"},
	"mandateEndReason":        {"/reason"},
	"mandateScope":            {"/actions"},
	"mandateToSelf":           {"/representativeSsin", "/parents"},
	"mergeSurvivor":           {"/survivingCitizenId", "/replacedBy"},
	"nilIdempotencyKey":       {"Idempotency-Key"},
	"notCovered":              {"size"},
	"notInTree":               {"leaf", "former"},
	"petitionKind":            {"/purpose", "/documentId"},
	"petitionOutcome":         {"/outcome"},
	"petitionRestricts":       {"/restrict"},
	"petitionText":            {"/text"},
	"preferencesIncomplete":   {"/language"},
	"providerReason":          {"/reason"},
	"providerSettings":        {"/provider"},
	"purposeNotYours":         {"/purpose", "/procedure"},
	"reasonMissing":           {"/reason"},
	"reasonNotYours":          {"/reason"},
	"registryBasis":           {},
	"registryCode":            {},
	"registryConsentText":     {},
	"registryFile":            {},
	"registryFiles":           {},
	"registryIncomplete":      {},
	"registryLabel":           {},
	"registryMinimum":         {},
	"registryRight":           {},
	"registrySchema":          {},
	"registryTooLarge":        {},
	"registryUnresolved":      {},
	"releaseEndPast":          {"/until"},
	"releaseKind":             {"/until"},
	"shownTextMissing":        {"/shownText"},
	"shownTextNotRegistered":  {"/shownText"},
	"signalType":              {"type", "/types"},
	"ssinMissing":             {"/ssin"},
	"ssinNotBorn":             {"/replacedBy", "/ssin"},
	"ssinUnchanged":           {"/replacedBy"},
	"ssinUnexpected":          {"/ssin"},
	"tooLarge":                {},
	"unknownAttachment":       {"/attachments"},
	"unknownDocumentType":     {"/documentType", "/documentTypes", "/needs"},
	"unknownField":            {"/fields"},
	"unknownLegalBasis":       {"/legalBasis"},
	"unknownPosition":         {"after", "Coffre-Min-Position"},
	"unknownPredicate":        {"/predicate", "/needs"},
	"unknownReason":           {"/reason"},
	"webhookAddressRefused":   {"/url"},
	"webhookHandshake":        {"/url"},
	"webhookPortRefused":      {"/url"},
	"webhookUrlInvalid":       {"/url"},
	"unknownWord":             {"/documentTypes"},
	"usagePeriodTooWide":      {"periodStart"},
}

// operationsByID returns the operations of the contract by their operationId.
var operationsByID = sync.OnceValue(func() map[string]*operation {
	all := make(map[string]*operation)
	for _, op := range operations() {
		all[op.id] = op
	}
	return all
})

// locate gives each issue of a problem that has no place one that the operation has: where its
// cause stands, or where its slug says.
func locate(p *contract.Problem, operation string) {
	for i := range p.Issues {
		issue := &p.Issues[i]
		if issue.In != "" {
			continue
		}
		cause := issue.Name
		issue.In, issue.Name = contract.IssueLocationBody, wholeBody
		op := operationsByID()[operation]
		if op == nil {
			continue
		}
		if member, _, _ := strings.Cut(strings.TrimPrefix(cause, "/"), "/"); member != "" {
			if in := op.has("/" + member); in != "" {
				issue.In, issue.Name = in, cause
				continue
			}
			if in := op.has(member); in != "" {
				issue.In, issue.Name = in, member
				continue
			}
		}
		for _, name := range places[issue.Type[strings.LastIndexByte(issue.Type, ':')+1:]] {
			if in := op.has(name); in != "" {
				issue.In, issue.Name = in, name
				break
			}
		}
	}
}

// has returns where the operation has a member of its body or a parameter, "" when it has
// none of that name.
func (o *operation) has(name string) contract.IssueLocation {
	pointer, isPointer := strings.CutPrefix(name, "/")
	switch {
	case isPointer && o.body != nil && o.body.members[pointer].shape != nil:
		return contract.IssueLocationBody
	case o.query[name].shape != nil:
		return contract.IssueLocationQuery
	case slices.ContainsFunc(o.header, func(p parameter) bool { return p.name == name }):
		return contract.IssueLocationHeader
	}
	return ""
}
