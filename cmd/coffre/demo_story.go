package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// The organisations of the story and what they may do, as deploy/registry has it.
const (
	socialSecurity domain.Organisation = "0206731645" // issues cards and identity data
	homeAffairs    domain.Organisation = "0308356862" // issues household compositions
	flanders       domain.Organisation = "0316380841" // issues diplomas; grants school allowances, by law
	railways       domain.Organisation = "0203430576" // gives discounts to families, by consent

	schoolAllowance domain.Purpose      = "schoolAllowance"
	schoolEnrolment domain.Procedure    = "schoolEnrolmentAllowance"
	publicTask      domain.LegalBasis   = "publicTask"
	deliberation    domain.Deliberation = "EX-26/010"
	familyDiscount  domain.Purpose      = "familyDiscount"

	isiPlusCard          domain.DocumentType = "isiPlusCard"
	identityData         domain.DocumentType = "identityData"
	householdComposition domain.DocumentType = "householdComposition"
	diploma              domain.DocumentType = "diploma"
	healthInsuranceCard  domain.DocumentType = "europeanHealthInsuranceCard"
)

// story holds the ids and answers that later chapters need of earlier ones.
type story struct {
	mother, child, aunt domain.CitizenID
	card, household     contract.DocumentReceipt
	auntsCard           contract.DocumentIssue
	read                contract.AccessAnswer // by the railways
	before              []contract.LogEvent   // the log as an auditor saw it before anybody was forgotten
}

func key() uuid.UUID { return uuid.New() }

// content encodes what a document attests.
func content(v map[string]any) contract.Content {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of words and numbers only
	}
	return b
}

// issueOne issues a document and tells it.
func (d *demo) issueOne(ctx context.Context, issuer domain.Organisation, said string, body contract.DocumentIssue) (contract.DocumentReceipt, error) {
	body.SourceReference = d.family.tag + "-" + body.SourceReference
	r, err := client.Read[contract.DocumentReceipt](d.issuer(issuer).IssueDocument(ctx, contract.IssueDocumentParams{IdempotencyKey: key()}, body))
	return r.Body, d.tell(said, known{"documentId": r.Body.DocumentID, "documentType": body.DocumentType, "content": body.Content}, done(err),
		must(r.Status == 201, "the answer is %d, and must be 201", r.Status), must(r.Body.Version == 1, "its version is %d", r.Body.Version))
}

func (d *demo) issue(ctx context.Context) (err error) {
	f := d.family
	mother, father, child, aunt := f.mother, f.father, f.child, f.aunt
	if err := d.tell(fmt.Sprintf("This is the family of %s and %s, their child %s and her aunt %s. They are made up, numbers included.",
		mother.name(), father.name(), child.name(), aunt.name()), known{"people": []invented{mother, father, child, aunt}}); err != nil {
		return err
	}
	for _, i := range []invented{mother, father} {
		if _, err := d.issueOne(ctx, socialSecurity, "Social Security attests the identity of "+i.name()+".", contract.DocumentIssue{
			SSIN: i.wire(), DocumentType: identityData, SourceReference: "identity-" + i.given, ValidFrom: "2024-01-01",
			Content: content(map[string]any{"given_name": i.given, "family_name": i.family, "birthdate": i.born, "nationalities": []string{"BE"}}),
		}); err != nil {
			return err
		}
	}
	card := contract.DocumentIssue{
		SSIN: child.wire(), DocumentType: isiPlusCard, SourceReference: "card", ValidFrom: child.born, ValidUntil: child.born.EndOfYear(12),
		Content: content(map[string]any{"name": child.name(), "birthDate": child.born, "cardNumber": digits(14)}),
		Parents: []contract.SSIN{mother.wire(), father.wire()},
	}
	if d.card, err = d.issueOne(ctx, socialSecurity, child.given+" gets an ISI+ card. It names both parents, and each may act for her.", card); err != nil {
		return err
	}
	card.SourceReference = f.tag + "-" + card.SourceReference
	again, err := client.Read[contract.DocumentReceipt](d.issuer(socialSecurity).IssueDocument(ctx, contract.IssueDocumentParams{IdempotencyKey: key()}, card))
	if err := d.tell("Issued a second time, the same card is found again and nothing is recorded.", nil, done(err),
		must(again.Status == 200, "the answer is %d, and must be 200", again.Status),
		must(again.Body.DocumentID == d.card.DocumentID, "it became another document")); err != nil {
		return err
	}
	if d.household, err = d.issueOne(ctx, homeAffairs, "Home Affairs attests with whom "+mother.given+" lives, without the others' names.", contract.DocumentIssue{
		SSIN: mother.wire(), DocumentType: householdComposition, SourceReference: "household", ValidFrom: "2025-01-01",
		Content: content(map[string]any{"asOf": "2025-01-01", "householdSize": 3, "members": []any{
			map[string]any{"relation": "partner"}, map[string]any{"relation": "child", "minor": true},
		}}),
	}); err != nil {
		return err
	}
	if _, err = d.issueOne(ctx, flanders, "Flanders attests "+father.given+"'s diploma.", contract.DocumentIssue{
		SSIN: father.wire(), DocumentType: diploma, SourceReference: "diploma", ValidFrom: "2006-07-01",
		Content: content(map[string]any{"title": "Master of Invented Arts", "institution": "University of Nowhere", "awardedOn": "2006-06-30", "level": 7}),
	}); err != nil {
		return err
	}
	d.auntsCard = contract.DocumentIssue{
		SSIN: aunt.wire(), DocumentType: healthInsuranceCard, SourceReference: "ehic", ValidFrom: "2025-01-01", ValidUntil: "2030-06-30",
		Content: content(map[string]any{
			"document_number": "8005600001" + digits(10), "issuing_country": "BE", "issuing_authority": map[string]any{"id": "BE-1"},
			"starting_date": "2025-01-01", "ending_date": "2030-06-30",
		}),
	}
	_, err = d.issueOne(ctx, socialSecurity, aunt.given+" gets a European health insurance card.", d.auntsCard)
	d.auntsCard.SourceReference = f.tag + "-" + d.auntsCard.SourceReference
	return err
}

// me asks the vault how it names a person.
func (d *demo) me(ctx context.Context, i invented) (domain.CitizenID, error) {
	r, err := client.Read[contract.Citizen](d.citizen(i).GetCitizen(ctx, contract.CitizenGet{}))
	return r.Body.CitizenID, err
}

func (d *demo) wallet(ctx context.Context, i invented, id domain.CitizenID) (contract.Wallet, error) {
	r, err := client.Read[contract.Wallet](d.citizen(i).GetWallet(ctx, id, contract.GetWalletParams{Lang: "en"}))
	return r.Body, err
}

// held returns what a wallet holds of a document.
func held(w contract.Wallet, id domain.DocumentID) contract.WalletItem {
	if i := slices.IndexFunc(w.Items, func(i contract.WalletItem) bool { return i.DocumentID == id }); i >= 0 {
		return w.Items[i]
	}
	return contract.WalletItem{}
}

func (d *demo) wallets(ctx context.Context) (err error) {
	f := d.family
	if d.mother, err = d.me(ctx, f.mother); err != nil {
		return d.tell(f.mother.given+" logs in.", nil, done(err))
	}
	w, err := d.wallet(ctx, f.mother, d.mother)
	card := held(w, d.card.DocumentID)
	d.child = card.RepresentedCitizenID
	if err := d.tell(fmt.Sprintf("%s opens her wallet: her own documents, and the card of %s.", f.mother.given, f.child.given),
		known{"citizenId": d.mother, "documents": len(w.Items)}, done(err),
		must(len(w.Items) == 3, "she sees %d documents, and must see 3", len(w.Items)),
		must(card.HeldAs == contract.HeldAsRepresentative, "she does not hold the card for her child"),
		must(strings.Contains(string(card.Content), f.child.name()), "the card does not say whose it is"),
		must(card.State == contract.DocumentStateValid, "the card is %s", card.State)); err != nil {
		return err
	}
	opened, err := client.Read[contract.VaultDocument](d.citizen(f.mother).GetDocument(ctx, d.card.DocumentID, contract.GetDocumentParams{Lang: "en"}))
	if err := d.tell("She opens the card. She acts for another there, so that is on record.", nil, done(err),
		must(strings.Contains(string(opened.Body.Content), f.child.name()), "the card does not say whose it is")); err != nil {
		return err
	}
	father, err := d.me(ctx, f.father)
	if err != nil {
		return d.tell(f.father.given+" logs in.", nil, done(err))
	}
	w, err = d.wallet(ctx, f.father, father)
	if err := d.tell(fmt.Sprintf("%s holds the same card by himself, whatever %s does.", f.father.given, f.mother.given), known{"citizenId": father}, done(err),
		must(held(w, d.card.DocumentID).HeldAs == contract.HeldAsRepresentative, "he does not see the card")); err != nil {
		return err
	}
	if d.aunt, err = d.me(ctx, f.aunt); err != nil {
		return d.tell(f.aunt.given+" logs in.", nil, done(err))
	}
	w, err = d.wallet(ctx, f.aunt, d.aunt)
	if err := d.tell(f.aunt.given+" sees her own card and nobody else's.", known{"citizenId": d.aunt}, done(err),
		must(len(w.Items) == 1 && w.Items[0].HeldAs == contract.HeldAsSubject, "she sees %d documents", len(w.Items))); err != nil {
		return err
	}
	_, err = client.Read[contract.Wallet](d.citizen(f.aunt).GetWallet(ctx, d.mother, contract.GetWalletParams{}))
	return d.tell(f.aunt.given+" asks for "+f.mother.given+"'s wallet, and does not even learn that there is one.", nil, isRefused(err, "resourceNotFound"))
}

// evidence asks, for the school allowance, what the vault knows of a person.
func (d *demo) evidence(ctx context.Context, of invented, by domain.Organisation, basis domain.Deliberation, types ...domain.DocumentType) (contract.EvidenceAnswer, error) {
	q := contract.EvidenceQuery{
		SSIN: of.wire(), Procedure: schoolEnrolment, Purpose: schoolAllowance, LegalBasis: publicTask, Deliberation: basis,
		CaseReference: "school-" + d.family.tag,
	}
	for _, t := range types {
		q.Needs = append(q.Needs, contract.EvidenceNeed{DocumentType: t})
	}
	r, err := client.Read[contract.EvidenceAnswer](d.consumer(by).QueryEvidence(ctx, contract.QueryEvidenceParams{IdempotencyKey: key()}, q))
	return r.Body, err
}

func (d *demo) onlyOnce(ctx context.Context) error {
	f := d.family
	a, err := d.evidence(ctx, f.child, flanders, deliberation, isiPlusCard)
	if err != nil || len(a.Items) != 1 {
		return d.tell("Flanders asks the vault about the child.", nil, done(err), must(false, "there are %d answers, and must be 1", len(a.Items)))
	}
	if err := d.tell(fmt.Sprintf("The school allowance of %s: by law, Flanders gets her name and day of birth from the vault instead of a form.", f.child.given),
		known{"accessId": a.Items[0].AccessID, "notAsked": a.NotAsked},
		must(a.Items[0].Outcome == contract.EvidenceOutcomeHeld, "the card is %s", a.Items[0].Outcome),
		must(strings.Contains(string(a.Items[0].Content), f.child.name()), "the name is missing"),
		must(!strings.Contains(string(a.Items[0].Content), "cardNumber"), "it got more than the procedure needs"),
		must(!a.Items[0].AccessID.IsZero(), "no access is on record")); err != nil {
		return err
	}
	a, err = d.evidence(ctx, f.mother, flanders, deliberation, householdComposition, isiPlusCard)
	if err != nil || len(a.Items) != 2 {
		return d.tell("Flanders asks the vault about the mother.", nil, done(err), must(false, "there are %d answers, and must be 2", len(a.Items)))
	}
	if err := d.tell(fmt.Sprintf("Of %s it learns how many live in the household; she has no ISI+ card, and it says so.", f.mother.given), known{"notAsked": a.NotAsked},
		must(a.Items[0].Outcome == contract.EvidenceOutcomeHeld && strings.Contains(string(a.Items[0].Content), "householdSize"), "the household is %s", a.Items[0].Outcome),
		must(a.Items[1].Outcome == contract.EvidenceOutcomeNotHeld, "the card is %s, and must be notHeld", a.Items[1].Outcome),
		must(a.NotAsked == 1, "%d questions were spared, and must be 1", a.NotAsked)); err != nil {
		return err
	}
	_, err = d.evidence(ctx, f.mother, railways, deliberation, householdComposition)
	return d.tell("The railways try the same in Flanders' name: without a basis of their own they learn nothing.", nil, isRefused(err, "noBasis"))
}

func (d *demo) consent(ctx context.Context) error {
	f := d.family
	mother, rail := d.citizen(f.mother), d.consumer(railways)
	asked, err := client.Read[contract.ConsentReceiptShort](rail.RequestConsent(ctx, contract.RequestConsentParams{IdempotencyKey: key()}, contract.ConsentAsk{
		SSIN: f.mother.wire(), Purpose: familyDiscount, DocumentTypes: []domain.DocumentType{householdComposition}, Fields: []domain.Field{"householdSize"},
		Message: "For your family discount.",
	}))
	if err := d.tell("Belgian Railways ask "+f.mother.given+" for consent to read the size of her household.", known{"consentId": asked.Body.ConsentID}, done(err)); err != nil {
		return err
	}
	id := asked.Body.ConsentID
	read := func() (contract.AccessAnswer, error) {
		r, err := client.Read[contract.AccessAnswer](rail.AccessDocument(ctx, d.household.DocumentID, contract.AccessDocumentParams{IdempotencyKey: key()}, contract.AccessRequest{
			Purpose: familyDiscount, ConsentID: &id, CaseReference: "discount-" + f.tag,
		}))
		return r.Body, err
	}
	_, err = read()
	if err := d.tell("They try before she answers, and are refused.", nil, must(err != nil, "it was allowed")); err != nil {
		return err
	}
	waiting, err := client.Read[contract.Consents](mother.ListConsentRequests(ctx, contract.ListConsentRequestsParams{CitizenID: &d.mother}))
	var shown contract.ShownText
	if err == nil {
		shown, err = textToShow(ctx, mother, railways, familyDiscount, "en", "")
	}
	if err == nil {
		_, err = client.Read[contract.ConsentReceiptShort](mother.GrantConsentRequest(ctx, id, contract.GrantConsentRequestParams{IdempotencyKey: key()}, contract.ConsentRequestGrant{ShownText: shown}))
	}
	if err := d.tell(f.mother.given+" sees the request and says yes. What she was shown is kept with it.", nil, done(err),
		must(slices.ContainsFunc(waiting.Body.Items, func(c contract.Consent) bool { return c.ConsentID == id }), "she does not see the request")); err != nil {
		return err
	}
	d.read, err = read()
	if err := d.tell("The railways read: the size of the household, and nothing else of the document.", known{"accessId": d.read.AccessID}, done(err),
		must(strings.Contains(string(d.read.Content), "householdSize"), "the size is missing"),
		must(!strings.Contains(string(d.read.Content), "members"), "they got more than she allowed")); err != nil {
		return err
	}
	_, err = client.Read[contract.ConsentReceiptShort](mother.WithdrawConsent(ctx, id, contract.WithdrawConsentParams{IdempotencyKey: key()}))
	if err := d.tell(f.mother.given+" withdraws her consent.", nil, done(err)); err != nil {
		return err
	}
	_, err = read()
	if err := d.tell("From then on the railways are refused, and the refusal is on record.", nil, isRefused(err, "consentWithdrawn")); err != nil {
		return err
	}
	all, err := allConsents(ctx, mother, d.mother, "en")
	at := slices.IndexFunc(all, func(c contract.Consent) bool { return c.ConsentID == id })
	return d.tell("Her list of consents says what became of it.", nil, done(err),
		must(at >= 0 && all[at].State == contract.ConsentStateWithdrawn, "the consent is not shown as withdrawn"))
}

func (d *demo) change(ctx context.Context) error {
	f := d.family
	affairs, social := d.issuer(homeAffairs), d.issuer(socialSecurity)
	update := contract.DocumentUpdate{
		EffectiveFrom: domain.BelgianDate(d.p.now()), Reason: "changed", ValidFrom: "2025-01-01",
		Content: content(map[string]any{"asOf": domain.BelgianDate(d.p.now()), "householdSize": 4, "members": []any{
			map[string]any{"relation": "partner"}, map[string]any{"relation": "child", "minor": true}, map[string]any{"relation": "child", "minor": true},
		}}),
	}
	r, err := client.Read[contract.DocumentReceipt](affairs.UpdateDocument(ctx, d.household.DocumentID, contract.UpdateDocumentParams{IdempotencyKey: key(), IfMatch: `"1"`}, update))
	if err := d.tell("A second child is born: Home Affairs replace version 1 of the household by version 2.", nil, done(err),
		must(r.Body.Version == 2, "its version is %d", r.Body.Version)); err != nil {
		return err
	}
	update.Reason = "corrected"
	_, err = client.Read[contract.DocumentReceipt](affairs.UpdateDocument(ctx, d.household.DocumentID, contract.UpdateDocumentParams{IdempotencyKey: key(), IfMatch: `"1"`}, update))
	if err := d.tell("A colleague who had not seen that tries to replace version 1 too, and loses (412).", nil, isRefused(err, "documentVersionStale")); err != nil {
		return err
	}
	father, err := d.me(ctx, f.father)
	if err != nil {
		return d.tell(f.father.given+" logs in.", nil, done(err))
	}
	sees := func(said string, state contract.DocumentState, reason domain.ReasonCode) error {
		w, err := d.wallet(ctx, f.father, father)
		item := held(w, d.card.DocumentID)
		return d.tell(said, nil, done(err), must(item.State == state, "he sees it as %q, and must see %q", item.State, state),
			must(reason == "" || item.Reason == reason, "he sees the reason %q, and must see %q", item.Reason, reason))
	}
	s, err := client.Read[contract.DocumentReceipt](social.SuspendDocument(ctx, d.card.DocumentID, contract.SuspendDocumentParams{IdempotencyKey: key(), IfMatch: `"1"`}, contract.DocumentSuspension{Reason: "reportedLost"}))
	if err := d.tell("The card is reported lost: Social Security suspend it.", nil, done(err), must(s.Body.State == contract.DocumentStateSuspended, "it is %s", s.Body.State)); err != nil {
		return err
	}
	if err := sees(f.father.given+" sees at once that it is suspended.", contract.DocumentStateSuspended, "reportedLost"); err != nil {
		return err
	}
	a, err := d.evidence(ctx, f.child, flanders, deliberation, isiPlusCard)
	if err := d.tell("Flanders ask again, and are told not to rely on it; nothing of it is disclosed.", nil, done(err),
		must(len(a.Items) == 1 && a.Items[0].Outcome == contract.EvidenceOutcomeSuspended && len(a.Items[0].Content) == 0, "the answer is not `suspended` without content")); err != nil {
		return err
	}
	s, err = client.Read[contract.DocumentReceipt](social.ReinstateDocument(ctx, d.card.DocumentID, contract.ReinstateDocumentParams{IdempotencyKey: key(), IfMatch: s.Header.Get("ETag")}, contract.DocumentReinstatement{Reason: "found"}))
	if err := d.tell("It turns up under a car seat and is valid again.", nil, done(err), must(s.Body.State == contract.DocumentStateValid, "it is %s", s.Body.State)); err != nil {
		return err
	}
	s, err = client.Read[contract.DocumentReceipt](social.RevokeDocument(ctx, d.card.DocumentID, contract.RevokeDocumentParams{IdempotencyKey: key(), IfMatch: s.Header.Get("ETag")}, contract.DocumentRevocation{Reason: "lost"}))
	if err := d.tell("Then it is lost for good: Social Security revoke it. That is final.", nil, done(err), must(s.Body.State == contract.DocumentStateRevoked, "it is %s", s.Body.State)); err != nil {
		return err
	}
	if err := sees(f.father.given+" sees that it is revoked, and why.", contract.DocumentStateRevoked, "lost"); err != nil {
		return err
	}
	_, err = client.Read[contract.DocumentReceipt](social.ReinstateDocument(ctx, d.card.DocumentID, contract.ReinstateDocumentParams{IdempotencyKey: key(), IfMatch: s.Header.Get("ETag")}, contract.DocumentReinstatement{Reason: "found"}))
	return d.tell("Nobody can bring it back.", nil, isRefused(err, "documentRevoked"))
}

func (d *demo) accessLog(ctx context.Context) error {
	f := d.family
	mine, err := client.Read[contract.AccessLog](d.citizen(f.mother).GetAccessLog(ctx, d.mother, contract.GetAccessLogParams{Lang: "en"}))
	by := func(o domain.Organisation) contract.AccessLogItem {
		if i := slices.IndexFunc(mine.Body.Items, func(i contract.AccessLogItem) bool {
			return i.Organization == o && i.Outcome == contract.AccessOutcomeDisclosed
		}); i >= 0 {
			return mine.Body.Items[i]
		}
		return contract.AccessLogItem{}
	}
	rail, law := by(railways), by(flanders)
	if err := d.tell(fmt.Sprintf("%s reads her access log: who read what, when and why.", f.mother.given), known{"entries": len(mine.Body.Items)}, done(err),
		must(!rail.At.IsZero(), "the railways' reading is missing"), must(!law.At.IsZero(), "Flanders' reading is missing"),
		must(rail.AccessID == d.read.AccessID, "it is another access")); err != nil {
		return err
	}
	if err := d.tell(fmt.Sprintf("On %s, %s read %s for %q, under her consent.", day(rail.At), name(rail), joined(rail.Fields), rail.PurposeLabel), nil,
		must(!rail.ConsentID.IsZero() && rail.Purpose == familyDiscount, "the log does not say why")); err != nil {
		return err
	}
	if err := d.tell(fmt.Sprintf("On %s, %s read %s for %q, by law (%s).", day(law.At), name(law), joined(law.Fields), law.PurposeLabel, law.Deliberation), nil,
		must(law.LegalBasis == publicTask && law.Deliberation == deliberation, "the log does not say why")); err != nil {
		return err
	}
	hers, err := client.Read[contract.AccessLog](d.citizen(f.mother).GetAccessLog(ctx, d.child, contract.GetAccessLogParams{Lang: "en"}))
	has := func(is func(contract.AccessLogItem) bool) bool { return slices.ContainsFunc(hers.Body.Items, is) }
	return d.tell(fmt.Sprintf("She reads %s's too, as far as the card goes: Flanders by law, and herself under her mandate.", f.child.given), known{"entries": len(hers.Body.Items)}, done(err),
		must(has(func(i contract.AccessLogItem) bool {
			return i.Organization == flanders && i.DocumentType == isiPlusCard
		}), "Flanders' reading is missing"),
		must(has(func(i contract.AccessLogItem) bool {
			return i.ReaderCitizenID == d.mother && !i.MandateID.IsZero() && i.Role == contract.ActorRoleRepresentative
		}), "her own reading under the mandate is missing"))
}

func name(i contract.AccessLogItem) string {
	if i.OrganizationName != "" {
		return i.OrganizationName
	}
	return string(i.Organization)
}

func (d *demo) officer(ctx context.Context) error {
	officer := d.v.as(token.Grant{Role: domain.RolePrivacyOfficer, Subject: "demo-officer"})
	file, err := d.p.exportTo(ctx, officer, contract.ExportCreate{Kind: contract.ExportKindConsentLog, Format: contract.ExportFormatJsonl, Consumer: railways, Purpose: familyDiscount, CitizenID: &d.mother, Reason: "audit"}, func(lines []byte) []check {
		var decisions []string
		for line := range strings.Lines(string(lines)) {
			var one struct {
				Decision string `json:"decision"`
				Consumer string `json:"consumer"`
			}
			if json.Unmarshal([]byte(line), &one) != nil {
				return []check{{false, "a line of the export is not JSON"}}
			}
			if one.Consumer == string(railways) {
				decisions = append(decisions, one.Decision)
			}
		}
		slices.Sort(decisions)
		return []check{must(slices.Equal(decisions, []string{"granted", "requested", "withdrawn"}), "of her it tells %v", decisions),
			must(!strings.Contains(string(lines), d.family.mother.family), "it tells her name")}
	})
	return d.tell("The privacy officer exports the consents of the railways' discount: asked, granted, withdrawn, and no name.", known{"rows": file.export.Rows, "sha256": file.export.Sha256},
		append([]check{done(err)}, file.checks...)...)
}

// exported is a file that was made and looked at.
type exported struct {
	export contract.Export
	checks []check
}

// exportTo makes an export and lets look judge it.
func (p *program) exportTo(ctx context.Context, c *client.Client, ask contract.ExportCreate, look func([]byte) []check) (exported, error) {
	var out strings.Builder
	quiet := &program{terminal: terminal{Out: &out, Err: io.Discard}, now: p.now}
	e, err := quiet.export(ctx, c, ask, output{name: "-", pipe: true})
	if err != nil {
		return exported{}, err
	}
	return exported{e, look([]byte(out.String()))}, nil
}

// forgetting is how long the story waits for keys to be destroyed: the lease on
// them, and some.
const forgetting = 2 * time.Minute

func (d *demo) forget(ctx context.Context) error {
	f := d.family
	officer := d.v.as(token.Grant{Role: domain.RolePrivacyOfficer, Subject: "demo-officer"})
	before, events, err := d.log(ctx)
	d.before = events
	if err := d.tell(fmt.Sprintf("An auditor notes the log as it is now, %d events, without any key.", before.Events), known{"events": before.Events}, done(err)); err != nil {
		return err
	}
	father, err := d.me(ctx, f.father)
	if err != nil {
		return d.tell(f.father.given+" logs in.", nil, done(err))
	}
	e, err := client.Read[contract.Erasure](d.citizen(f.father).RequestErasure(ctx, contract.RequestErasureParams{IdempotencyKey: key()}, contract.ErasureRequest{
		CitizenID: father, Scope: contract.ErasureScopeCitizen, Reason: "citizenRequest",
	}))
	if err == nil {
		_, err = client.Read[contract.Erasure](officer.ApproveErasure(ctx, e.Body.ErasureID, contract.ApproveErasureParams{IdempotencyKey: key()}))
	}
	if err := d.tell(f.father.given+" asks to be forgotten; a diploma must be kept by law, and the refusal says so.", nil, isRefused(err, "retentionDuty")); err != nil {
		return err
	}
	asks := contract.ErasureRequest{CitizenID: d.aunt, Scope: contract.ErasureScopeCitizen, Reason: "citizenRequest"}
	aunt := d.citizen(f.aunt)
	e, err = client.Read[contract.Erasure](aunt.RequestErasure(ctx, contract.RequestErasureParams{IdempotencyKey: key()}, asks))
	if err := d.tell(f.aunt.given+" asks to be forgotten.", known{"erasureId": e.Body.ErasureID}, done(err), must(e.Body.State == contract.ErasureStateRequested, "it is %s", e.Body.State)); err != nil {
		return err
	}
	id := e.Body.ErasureID
	_, err = client.Read[contract.Erasure](officer.ApproveErasure(ctx, id, contract.ApproveErasureParams{IdempotencyKey: key()}))
	if err := d.tell("A second person, the privacy officer, approves.", nil, done(err)); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, forgetting)
	defer cancel()
	err = poll(wait, func() (bool, time.Time, error) {
		now, err := client.Read[contract.Erasure](officer.GetErasure(ctx, id, contract.GetErasureParams{}))
		return now.Body.State == contract.ErasureStateKeysDestroyed || now.Body.State == contract.ErasureStateFinal, time.Time{}, err
	})
	if err := d.tell("Her keys are destroyed: nobody can read what the log holds of her.", nil, done(err)); err != nil {
		return err
	}
	c, err := client.Read[contract.ErasureCertificate](officer.GetErasureCertificate(ctx, id))
	if err := d.tell(fmt.Sprintf("The certificate says so: keys destroyed: %d, events that can no longer be read: %d, what stays, and why. It is signed.", len(c.Body.Keys), c.Body.UnreadableEvents),
		known{"keys": len(c.Body.Keys), "unreadableEvents": c.Body.UnreadableEvents}, done(err),
		must(len(c.Body.Signature) > 0, "it is not signed"), must(c.Body.UnreadableEvents > 0, "it counts no event"),
		must(len(c.Body.Remains) > 0, "it does not say what stays")); err != nil {
		return err
	}
	w, err := client.Read[contract.Wallet](d.v.as(token.Grant{Role: domain.RoleCitizen, Citizen: d.aunt}).GetWallet(ctx, d.aunt, contract.GetWalletParams{}))
	var no *client.Refusal
	if err := d.tell("Her wallet is empty.", nil, must(errors.As(err, &no) || err == nil && len(w.Body.Items) == 0, "it holds %d documents", len(w.Body.Items))); err != nil {
		return err
	}
	_, err = client.Read[contract.DocumentReceipt](d.issuer(socialSecurity).IssueDocument(ctx, contract.IssueDocumentParams{IdempotencyKey: key()}, d.auntsCard))
	return d.tell("Social Security issue her card again: forgotten stays forgotten, and the vault says so.", nil, isRefused(err, "citizenErased"))
}

// log reads the whole log as an auditor does.
func (d *demo) log(ctx context.Context) (told, []contract.LogEvent, error) {
	var all []contract.LogEvent
	sum, err := replay{}.run(ctx, d.auditor(), func(e contract.LogEvent) error { all = append(all, e); return nil })
	return sum, all, err
}

func (d *demo) auditor() *client.Client {
	return d.v.as(token.Grant{Role: domain.RoleAuditor, Subject: "demo-auditor"})
}

func (d *demo) replay(ctx context.Context) error {
	sum, events, err := d.log(ctx)
	if err := d.tell(fmt.Sprintf("An auditor replays it from the beginning, without any key: %d events.", sum.Events), known{"events": sum.Events, "types": sum.Types}, done(err),
		must(sum.LastLeaf != nil && *sum.LastLeaf == int64(sum.Events)-1, "leaves are missing"),
		must(consecutive(events), "a revision is missing in a stream"),
		must(sum.Types["document.issued"] >= 6 && sum.Types["consent.withdrawn"] >= 1 && sum.Types["citizen.key-destroyed"] >= 1, "events of this story are missing")); err != nil {
		return err
	}
	same := len(events) > len(d.before) && slices.EqualFunc(d.before, events[:len(d.before)], func(a, b contract.LogEvent) bool {
		return a.EventID == b.EventID && string(a.Facts) == string(b.Facts) && string(a.Sealed) == string(b.Sealed)
	})
	if err := d.tell("All that was there before is there still, byte for byte.", nil, must(same, "it differs")); err != nil {
		return err
	}
	hers, err := replay{citizen: new(d.aunt)}.run(ctx, d.auditor(), func(contract.LogEvent) error { return nil })
	return d.tell(fmt.Sprintf("What happened to citizen %s is still told, %d events, only not what was in it.", short(d.aunt.String()), hers.Events), nil, done(err),
		must(hers.Types["document.issued"] == 1 && hers.Types["citizen.key-destroyed"] == 1, "her events are not all there"))
}

// consecutive reports whether every stream has all its revisions, in order.
func consecutive(events []contract.LogEvent) bool {
	next := make(map[string]int64)
	for _, e := range events {
		if e.Revision != next[e.Stream] {
			return false
		}
		next[e.Stream]++
	}
	return true
}
