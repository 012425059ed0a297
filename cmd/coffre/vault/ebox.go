package vault

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"

	"github.com/go-json-experiment/json"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/handlers/api"
	"coffre/handlers/contract"
	"coffre/handlers/disclosure"
	"coffre/handlers/reactors/ebox"
	"coffre/handlers/reactors/webhook"
	"coffre/projections/vocabulary"
)

// EboxConfig says by whom and on which ground citizens are written to in My eBox. It is read
// from a file; the client's secret lies in another one, which the file names.
type EboxConfig struct {
	URL              string   `json:"url"`       // of the REST API 2.1
	EventsURL        string   `json:"eventsUrl"` // of the event API 1.1.1; "": nothing is read back
	TokenURL         string   `json:"tokenUrl"`
	ClientID         string   `json:"clientId"`
	ClientSecretFile string   `json:"clientSecretFile"`
	Scopes           []string `json:"scopes"`
	// Networks are reached although they are not public.
	Networks []netip.Prefix `json:"networks"`
	Sender   struct {
		Organization domain.Organisation `json:"organization"`
		Application  string              `json:"application"`
		MessageType  string              `json:"messageType"`
	} `json:"sender"`
	// Carrier delivers the messages, for Purpose, under LegalBasis and Deliberation: what is on
	// record of each message, in words of the registry.
	Carrier      domain.Organisation `json:"carrier"`
	Purpose      domain.Purpose      `json:"purpose"`
	LegalBasis   domain.LegalBasis   `json:"legalBasis"`
	Deliberation domain.Deliberation `json:"deliberation"`

	// Dev allows plain http to this machine, for trying out.
	Dev bool `json:"-"`
}

// maxEboxConfig bounds the file of the configuration.
const maxEboxConfig = 64 << 10

// errEboxConfig refuses a configuration without quoting it.
var errEboxConfig = errors.New("the configuration of My eBox is one JSON object with url, tokenUrl, clientId, clientSecretFile, carrier, purpose, legalBasis, deliberation, and perhaps eventsUrl, scopes, networks, sender")

// ReadEboxConfig reads the file that says how to write to My eBox, and the client's secret to
// see that it is there.
func ReadEboxConfig(path string) (*EboxConfig, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("configuration of My eBox: %w", err)
	}
	if info.Size() > maxEboxConfig {
		return nil, errEboxConfig
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration of My eBox: %w", err)
	}
	var c EboxConfig
	if err := json.Unmarshal(b, &c, json.RejectUnknownMembers(true)); err != nil {
		return nil, errEboxConfig
	}
	if c.URL == "" || c.TokenURL == "" || c.ClientID == "" || c.ClientSecretFile == "" || c.Carrier.IsZero() || c.Purpose == "" || c.LegalBasis == "" || c.Deliberation == "" {
		return nil, errEboxConfig
	}
	if _, err := ebox.ReadSecret(c.ClientSecretFile); err != nil {
		return nil, err
	}
	return &c, nil
}

// client returns the client of a configuration, whose calls are guarded as the webhook's are.
func (c *EboxConfig) client() (*ebox.Client, error) {
	policy := webhook.Policy{Allow: c.Networks, Dev: c.Dev}
	endpoint := func(raw string) (*url.URL, webhook.Endpoint, error) {
		e, err := webhook.ParseEndpoint(raw, policy)
		if err != nil {
			return nil, e, fmt.Errorf("an address of My eBox: %w", err)
		}
		u, err := url.Parse(raw)
		return u, e, err
	}
	api, guarded, err := endpoint(c.URL)
	if err != nil {
		return nil, err
	}
	token, _, err := endpoint(c.TokenURL)
	if err != nil {
		return nil, err
	}
	o := ebox.ClientOptions{
		API: api, Token: token, ClientID: c.ClientID, SecretFile: c.ClientSecretFile, Scopes: c.Scopes, HTTP: guarded.Client(ebox.TryTimeout, nil),
		Sender: ebox.Sender{Organisation: c.Sender.Organization, Application: c.Sender.Application, MessageType: c.Sender.MessageType},
	}
	if c.EventsURL != "" {
		if o.Events, _, err = endpoint(c.EventsURL); err != nil {
			return nil, err
		}
	}
	return ebox.NewClient(o), nil
}

// openEbox makes what writes to citizens, where that is configured.
func (a *assembly) openEbox(ctx context.Context) error {
	c := a.o.Ebox
	if c == nil {
		return nil
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	a.ebox, err = ebox.New(ctx, ebox.Options{DB: a.places.reactors, Log: a.log, Vault: writing{a.Core, c}, Client: client, Logger: a.o.Logger, Tracer: a.tracer})
	if err == nil {
		a.eboxDesk, err = ebox.NewDesk(ctx, a.places.reactors)
		a.Core.Ebox = eboxDesk{a.eboxDesk}
	}
	return err
}

// eboxDesk is the desk of messages, and implements api.EboxDesk.
type eboxDesk struct{ ebox.Desk }

// Messages implements api.EboxDesk.
func (d eboxDesk) Messages(ctx context.Context, state contract.EboxMessageState, limit int) ([]api.EboxMessage, error) {
	all, err := d.Desk.Messages(ctx, ebox.State(state), limit)
	shown := make([]api.EboxMessage, 0, len(all))
	for _, m := range all {
		shown = append(shown, api.EboxMessage{
			ID: m.ID, Topic: string(m.Topic), Daily: m.Daily, State: contract.EboxMessageState(m.State), Attempts: m.Attempts, Reason: m.Reason, Next: m.Next,
			Made: m.Made, Changed: m.Changed, Read: m.Read, Reminded: m.Reminded, Expires: m.Expires,
		})
	}
	return shown, err
}

// checkEbox refuses a configuration whose words the registry in force does not have.
func (a *assembly) checkEbox(context.Context) error {
	c := a.o.Ebox
	if c == nil || a.ebox == nil {
		return nil
	}
	words := a.Core.Words.Current()
	_, carrier := words.Organisation(c.Carrier)
	_, purpose := words.Purpose(c.Purpose)
	if !carrier || !purpose || !words.LegalBasisInUse(c.LegalBasis) {
		return errors.New("the registry does not have the carrier, the purpose or the legal basis of messages in My eBox")
	}
	return nil
}

// writing is the vault as what writes to citizens sees it.
type writing struct {
	core   *api.Vault
	config *EboxConfig
}

// WrittenTo implements ebox.Vault.
func (w writing) WrittenTo(ctx context.Context, c domain.CitizenID) (ebox.Addressee, error) {
	person, chosen, err := w.core.WrittenTo(ctx, c)
	return ebox.Addressee{Standing: person.Standing, Preferences: chosen, Restrictions: person.Restrictions}, err
}

// Deliver implements ebox.Vault.
func (w writing) Deliver(ctx context.Context, m ebox.Message, send func(context.Context, domain.SSIN) error) error {
	return w.core.Deliver(ctx, w.delivery(m), send)
}

// Delivered implements ebox.Vault.
func (w writing) Delivered(ctx context.Context, m ebox.Message) error {
	return w.core.RecordDelivery(ctx, w.delivery(m), access.Delivered, nil)
}

func (w writing) delivery(m ebox.Message) disclosure.Delivery {
	return disclosure.Delivery{
		Message: m.ID, Made: m.Made, Correlation: m.Correlation, Citizen: m.Citizen, Document: m.Document, Type: m.Type, Tried: m.Tried,
		Carrier: w.config.Carrier, Purpose: w.config.Purpose, LegalBasis: w.config.LegalBasis, Deliberation: w.config.Deliberation,
	}
}

// lists are the registry's lists of what messages name.
var lists = map[ebox.Labels]vocabulary.WordList{
	ebox.TypeLabels: vocabulary.DocumentTypes, ebox.OrganisationLabels: vocabulary.Organisations, ebox.PurposeLabels: vocabulary.Purposes,
}

// Label implements ebox.Vault.
func (w writing) Label(list ebox.Labels, code string, lang domain.Language) string {
	return w.core.Words.Current().Label(lists[list], code, lang)
}
