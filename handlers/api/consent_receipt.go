package api

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"time"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/mandate"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
	"coffre/projections"
	"coffre/projections/consentlog"
	"coffre/projections/vocabulary"
)

// GetConsentReceipt implements GET /consents/{id}/receipt: the terms of a consent in the
// form of a standard, with the text that the citizen was shown (rule C-5), signed with the key of
// the log where the log is signed. Readings by a representative or a privacy officer are on
// record before the text is opened.
func (v *Vault) GetConsentReceipt(ctx context.Context, r contract.GetConsentReceiptRequestObject) (contract.GetConsentReceiptResponseObject, error) {
	in := v.NewIntent(ctx)
	c, known, err := v.ConsentLog.Consent(ctx, r.ConsentID, projections.Latest, in.At)
	switch {
	case err != nil:
		return nil, err
	case !known || c.Citizen.IsZero():
		return nil, consent.ErrNotFound
	}
	read, err := v.admitReceiptReader(ctx, in, &c)
	if err != nil {
		return nil, err
	}
	text := contract.Consent{ConsentID: c.Consent}
	if err := v.openShownTexts(ctx, &text, projections.Latest); err != nil {
		return nil, err
	}
	facts, err := v.receiptFacts(ctx, in, &c, text.ShownText)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if r.Params.Format == contract.ReceiptFormatIso27560 {
		err = wire.NewEncoder(&out).Encode(facts.iso27560())
	} else {
		err = wire.NewEncoder(&out).Encode(facts.kantara())
	}
	if err != nil {
		return nil, err
	}
	answer := receipt{out.Bytes(), mediaType(r.Params.Format)}
	if facts.inLog.Checkpoint != "" {
		if answer.body, err = v.SignReceipt(ctx, answer.body); err != nil {
			return nil, err
		}
	}
	v.RecordDelivered(in, read)
	return answer, nil
}

// admitReceiptReader refuses callers who may not read a consent's receipt, and records the
// reading of a representative or a privacy officer. It returns the zero access for the
// citizen, and where nothing is opened.
func (v *Vault) admitReceiptReader(ctx context.Context, in acting.Intent, c *consentlog.Consent) (access.Authorized, error) {
	if in.Actor.Role == domain.RolePrivacyOfficer {
		if c.GrantedAt.IsZero() {
			return access.Authorized{}, consent.ErrNotGranted
		}
		person, err := v.LoadPerson(ctx, c.Citizen)
		if err != nil || person.Standing == citizen.Erased || person.Standing == citizen.Erasing {
			return access.Authorized{}, err // what they were shown is gone
		}
		return v.authorizeReport(ctx, in, person, access.OpenedExport)
	}
	a, err := v.ActFor(ctx, in, &c.Citizen, mandate.Read)
	if err != nil {
		return access.Authorized{}, err
	}
	covered, err := v.coversTerms(ctx, a, c.Terms)
	switch {
	case err != nil:
		return access.Authorized{}, err
	case !covered:
		return access.Authorized{}, consent.ErrNotFound
	case c.GrantedAt.IsZero():
		return access.Authorized{}, consent.ErrNotGranted
	}
	return v.AuthorizeRepresentative(ctx, in, a, a.MandateFor(c.Terms.Types))
}

// receiptFacts are the facts of a consent that the receipts of both standards tell.
type receiptFacts struct {
	*consentlog.Consent
	lang      domain.Language
	words     *vocabulary.View
	consumer  registry.Organisation
	types     []*registry.DocumentType
	shown     contract.ShownText
	stateAt   time.Time            // of which the state is told
	inLog     contract.RecordInLog // of the grant
	sensitive []string             // labels of special categories
	plain     []string             // labels of the others
}

func (v *Vault) receiptFacts(ctx context.Context, in acting.Intent, c *consentlog.Consent, shown contract.ShownText) (receiptFacts, error) {
	f := receiptFacts{Consent: c, lang: in.Call.Language, words: in.Words, shown: shown, stateAt: in.At}
	var err error
	if f.inLog, err = v.awaitInLog(ctx, c.GrantedLeaf); err != nil {
		return receiptFacts{}, err
	}
	f.consumer.Number = c.Terms.Consumer
	if o, known := in.Words.Organisation(c.Terms.Consumer); known {
		f.consumer = *o
	}
	types, err := v.typesOfTerms(ctx, c.Terms)
	if err != nil {
		return receiptFacts{}, err
	}
	special := f.specialCategories()
	for _, name := range types {
		t, known := in.Words.DocumentType(name)
		if !known || slices.Contains(f.types, t) {
			continue
		}
		f.types = append(f.types, t)
		for _, category := range t.Categories {
			label, list := in.Words.Label(vocabulary.DataCategories, string(category), f.lang), &f.plain
			if special[category] {
				list = &f.sensitive
			}
			if !slices.Contains(*list, label) {
				*list = append(*list, label)
			}
		}
	}
	return f, nil
}

// specialCategories returns which categories of data are special ones (GDPR art. 9).
func (f receiptFacts) specialCategories() map[domain.DataCategory]bool {
	special := make(map[domain.DataCategory]bool)
	for _, category := range f.words.Registry().Categories {
		special[category.Code] = category.Sensitive
	}
	return special
}

func (f receiptFacts) purpose() string {
	return f.words.Label(vocabulary.Purposes, string(f.Terms.Purpose), f.lang)
}

func (f receiptFacts) controller() string {
	return f.words.Label(vocabulary.Organisations, string(f.Terms.Consumer), f.lang)
}

// categories returns the purpose's categories, by the Belgian vocabulary of finalities.
func (f receiptFacts) categories() []string {
	all := []string{}
	if p, known := f.words.Purpose(f.Terms.Purpose); known {
		for _, code := range p.Finalities {
			all = append(all, f.words.Label(vocabulary.Finalities, string(code), f.lang))
		}
	}
	return all
}

// country is the jurisdiction of all that the vault holds.
const country = "BE"

// kantara returns the receipt of the Consent Receipt Specification 1.1. The shown text and
// the state of the consent, for which the standard has no members, follow as members
// of our own.
func (f receiptFacts) kantara() kantaraReceipt {
	all := slices.Concat(f.plain, f.sensitive)
	return kantaraReceipt{
		Version: "KI-CR-v1.1.0", Jurisdiction: country, Timestamp: f.GrantedAt.Unix(), CollectionMethod: f.text("collection"),
		Receipt: f.Consent.Consent.String(), Language: string(f.lang), Principal: f.Citizen.String(),
		Controllers: []kantaraController{{
			Name: f.controller(), Contact: f.consumer.Contact.Email, Address: kantaraAddress{country},
			Email: f.consumer.Contact.Email, URL: f.consumer.Contact.URL,
		}},
		Policy: f.consumer.Contact.URL,
		Services: []kantaraService{{
			Service: f.purpose(),
			Purposes: []kantaraPurpose{{
				Purpose: f.purpose(), Category: f.categories(), ConsentType: "EXPLICIT", PII: all, Primary: true,
				Termination: f.Terms.Until.UTC().Format(time.RFC3339), ThirdParties: false,
			}},
		}},
		Sensitive: len(f.sensitive) > 0, Special: slices.Concat([]string{}, f.sensitive),
		State: string(f.State), StateAt: f.stateAt, EndedAt: f.EndedAt, Shown: f.shown, InLog: f.inLog,
	}
}

type kantaraReceipt struct {
	Version          string              `json:"version"`
	Jurisdiction     string              `json:"jurisdiction"`
	Timestamp        int64               `json:"consentTimestamp"` // seconds since 1970
	CollectionMethod string              `json:"collectionMethod"`
	Receipt          string              `json:"consentReceiptID"`
	Language         string              `json:"language,omitempty"`
	Principal        string              `json:"piiPrincipalId"`
	Controllers      []kantaraController `json:"piiControllers"`
	Policy           string              `json:"policyUrl"`
	Services         []kantaraService    `json:"services"`
	Sensitive        bool                `json:"sensitive"`
	Special          []string            `json:"spiCat"`

	State   string               `json:"state"`
	StateAt time.Time            `json:"stateAt"`
	EndedAt time.Time            `json:"endedAt,omitzero"`
	Shown   contract.ShownText   `json:"shownText,omitzero"`
	InLog   contract.RecordInLog `json:"inLog,omitzero"`
}

// kantaraController is the controller of a Kantara receipt. The registry holds no address
// and no phone number: the address is the country, the phone number is empty.
type kantaraController struct {
	Name     string         `json:"piiController"`
	OnBehalf bool           `json:"onBehalf"`
	Contact  string         `json:"contact"`
	Address  kantaraAddress `json:"address"`
	Email    string         `json:"email"`
	Phone    string         `json:"phone"`
	URL      string         `json:"piiControllerUrl,omitempty"`
}

type kantaraAddress struct {
	Country string `json:"addressCountry"`
}

type kantaraService struct {
	Service  string           `json:"service"`
	Purposes []kantaraPurpose `json:"purposes"`
}

type kantaraPurpose struct {
	Purpose      string   `json:"purpose"`
	Category     []string `json:"purposeCategory"`
	ConsentType  string   `json:"consentType"`
	PII          []string `json:"piiCategory"`
	Primary      bool     `json:"primaryPurpose"`
	Termination  string   `json:"termination"`
	ThirdParties bool     `json:"thirdPartyDisclosure"`
}

// receipt is an answer whose bytes are a JSON object already. The generated answer type
// would write them as a string.
type receipt struct {
	body  []byte
	media string
}

// VisitGetConsentReceiptResponse writes the answer.
func (r receipt) VisitGetConsentReceiptResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", r.media)
	_, err := w.Write(r.body)
	return err
}
