package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"coffre/eventstore/checkpoints"
	"coffre/eventstore/proof"
	tlogwitness "coffre/eventstore/witness"
	"coffre/handlers/reactors/webhook"
	"coffre/projections/transparency"
)

// Variables of witnesses.
const (
	WitnessPolicyVariable   = "COFFRE_WITNESS_POLICY"
	WitnessNetworksVariable = "COFFRE_WITNESS_NETWORKS"
	WitnessCAVariable       = "COFFRE_WITNESS_CA_FILE"
)

// WitnessesConfig says which witnesses are asked to cosign checkpoints, and how they are reached.
type WitnessesConfig struct {
	Policy   proof.Policy
	Networks []netip.Prefix // that are reached although they are not public
	Roots    *x509.CertPool // nil: the system's
	Dev      bool           // plain http on loopback is allowed, for trying out
}

const (
	maxWitnessCA = 1 << 20 // bytes
	witnessTime  = 15 * time.Second
)

var (
	errNoWitnessURL  = errors.New("no witness of the policy has an address, behind its key")
	errWitnessURL    = errors.New("a witness's address is absolute, https, with a plain ASCII host name, on port 443 or one from 1024 up, and has neither user information nor a query")
	errWitnessPlace  = errors.New("that address is not public; --witness-networks (" + WitnessNetworksVariable + ") names networks that are reached all the same")
	errWitnessCA     = errors.New(WitnessCAVariable + ": no certificate in it")
	errWitnessRanges = errors.New(WitnessNetworksVariable + " is a list of networks such as 10.20.0.0/16, with commas between")
)

// ReadWitnessNetworks reads a list of networks, which may be empty.
func ReadWitnessNetworks(text string) (all []netip.Prefix, err error) {
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" && text == "" {
			continue
		}
		p, err := netip.ParsePrefix(word)
		if err != nil || p.Masked() != p {
			return nil, errWitnessRanges
		}
		all = append(all, p)
	}
	return all, nil
}

// ReadWitnessCA reads certificates that are trusted for witnesses.
func ReadWitnessCA(path string) (*x509.CertPool, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxWitnessCA {
		return nil, errWitnessCA
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", WitnessCAVariable, errors.Unwrap(err)) // without the path
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errWitnessCA
	}
	return pool, nil
}

// Cosigners returns clients of the witnesses that have an address, by their names, guarded as the
// webhook's calls are. It reports all that is wrong, by the names in the policy.
func (c WitnessesConfig) Cosigners() (map[string]transparency.Cosigner, error) {
	all := map[string]transparency.Cosigner{}
	var wrong []error
	for _, w := range c.Policy.Witnesses {
		if w.URL == "" {
			continue
		}
		endpoint, err := webhook.ParseEndpoint(w.URL, webhook.Policy{Allow: c.Networks, Dev: c.Dev})
		u, parse := url.Parse(w.URL)
		switch {
		case errors.Is(err, webhook.ErrEndpointAddress):
			wrong = append(wrong, fmt.Errorf("witness %s: %w", w.Name, errWitnessPlace))
		case err != nil, parse != nil, u.RawQuery != "", u.ForceQuery:
			wrong = append(wrong, fmt.Errorf("witness %s: %w", w.Name, errWitnessURL))
		default:
			all[w.Name] = &tlogwitness.Client{HTTP: endpoint.Client(witnessTime, c.Roots), Key: w.Key, URL: strings.TrimSuffix(w.URL, "/")}
		}
	}
	if len(all) == 0 && len(wrong) == 0 {
		wrong = append(wrong, errNoWitnessURL)
	}
	return all, errors.Join(wrong...)
}

// openWitnesses opens what is kept of cosignatures, which every process serves, and makes what
// asks the witnesses, where some are configured.
func (a *assembly) openWitnesses(ctx context.Context) error {
	kept, err := checkpoints.CosignedIn(ctx, a.places.keys)
	if err != nil {
		return err
	}
	a.cosigning = &transparency.Witnesses{Publisher: a.publisher, Kept: kept, Now: time.Now, Logger: a.o.Logger}
	if a.o.Witnesses == nil {
		return nil
	}
	a.cosigning.Policy = a.o.Witnesses.Policy
	a.cosigning.Ask, err = a.o.Witnesses.Cosigners()
	return err
}

// witnesses are how those that are asked do, as they told at one moment.
type witnesses struct {
	all []transparency.WitnessStatus
	err error
}

func (v *Instance) witnesses(ctx context.Context) (w witnesses) {
	w.all, w.err = v.cosigning.Status(ctx)
	return w
}

// witnessesDetail tells operators how the witnesses do; "" when there are none.
func (v *Instance) witnessesDetail(ctx context.Context, told witnesses) string {
	if told.err != nil {
		return "what the witnesses cosigned cannot be read"
	}
	var says []string
	for _, w := range told.all {
		switch {
		case w.Trouble != "":
			says = append(says, fmt.Sprintf("%s does not cosign (%s)", w.Name, w.Trouble))
		case w.Last.IsZero():
			says = append(says, w.Name+" has cosigned nothing yet")
		case time.Since(w.Last) > lateCheckpoint:
			says = append(says, fmt.Sprintf("%s cosigned last a checkpoint that is %s old", w.Name, time.Since(w.Last).Round(time.Second)))
		default:
			says = append(says, w.Name+" cosigns")
		}
	}
	if len(says) == 0 {
		return ""
	}
	note, err := v.cosigning.Enough(ctx)
	c, peek := proof.Peek(note)
	switch {
	case !v.cosigning.Policy.NeedsAny():
		return "witnesses: " + strings.Join(says, ", ")
	case err != nil || peek != nil:
		return "no checkpoint has enough cosignatures: " + strings.Join(says, ", ")
	}
	return fmt.Sprintf("the last checkpoint with enough cosignatures is %s old: %s", time.Since(c.Time).Round(time.Second), strings.Join(says, ", "))
}

// disown reports whether a witness tells of another history of this log, or forgot what it
// cosigned. When the key database is away, which is told elsewhere, nobody does.
func (w witnesses) disown() bool {
	return slices.ContainsFunc(w.all, func(one transparency.WitnessStatus) bool { return one.Trouble.Grave() })
}
