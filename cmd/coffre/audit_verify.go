package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/cmd/coffre/vault"
	"coffre/eventstore/proof"
	"coffre/eventstore/proof/bundle"
	"coffre/handlers/contract"
)

// exitIncomplete is the exit code of a verification that found nothing wrong and could not
// look at all.
const exitIncomplete = 4

func newAuditVerify(p *program) *cobra.Command {
	var checks provenLog
	var certificates []string
	var policy string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify FILE|DIR|URL", Short: "Check that no event was removed, altered, reordered or slipped in",
		Long: `Recomputes everything: the hash of every event, the root over all of them, and the signature
of the checkpoint. It names each event that is not what was recorded, is gone, or was never
there. FILE is what coffre audit bundle wrote, and is checked without vault, network or secret
key. DIR is the data directory of a vault, whether it is served or not; COFFRE_STORE and its
like say where its databases are; on KurrentDB it also names the streams that somebody deleted
or truncated there. URL is a vault elsewhere (with --token-file).

Give the public key that you trust (--key) and the checkpoints that you kept (--checkpoint): a
log that was put back, or is another one for you than for others, is found out by them alone.
KEY is the base64 of a public key, a file with it, or the file of coffre erase keys --json.
With --certificate it also checks certificates of erasure: their signatures, by those keys, and
what each says of the log: the hashes of the events that nobody can read any more, how many
there are, and the event that records the erasure.

--witness-policy is a policy of C2SP tlog-policy: its log lines are keys that you trust, and as
many of its witnesses as its quorum asks for must have cosigned what is verified: two histories
that are shown to two auditors don't both get there. In a data directory events of the last five
minutes may still lack them. Without a policy the names of witnesses are shown, unverified.

It ends with 0 when the log is whole, 1 on an error, 2 on a mistake of usage, 3 when something
was tampered with, 4 when nothing is wrong and the bundle is incomplete, or too few witnesses have cosigned.`,
		Example: `  coffre audit verify log.bundle --key keys.json
  coffre audit verify data --checkpoint last-month.checkpoint
  coffre audit verify log.bundle --witness-policy trusted.policy
  coffre audit verify log.bundle --key keys.json --certificate certificate.json
  coffre audit verify https://vault.example --token-file t --key keys.json --json`,
		Args: takes("FILE|DIR|URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := p.verifyOptions(checks.keys, checks.held)
			if err != nil {
				return err
			}
			if policy != "" {
				said, err := readPolicy("witness-policy", policy)
				if err != nil {
					return err
				}
				o.Policy = &said
			}
			proofs, err := p.readCertificates(certificates, checks.keys)
			if err != nil {
				return err
			}
			o.Each = proofs.event
			r, err := p.verifyAny(cmd.Context(), args[0], checks.tokenFile, o)
			if err != nil {
				return err
			}
			proofs.finish(&r)
			if err := p.printReport(asJSON, r); err != nil {
				return err
			}
			return verdict(r)
		},
	}
	checks.flags(cmd)
	checks.tokenFlag(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&certificates, "certificate", nil, "`file` with a certificate of erasure that this log must bear out")
	f.StringVar(&policy, "witness-policy", "", "`file` of C2SP tlog-policy with the witnesses that must have cosigned")
	_ = cmd.MarkFlagFilename("certificate") // only for flags that are not there
	_ = cmd.MarkFlagFilename("witness-policy")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// verdict returns the exit code that a report asks for.
func verdict(r bundle.Report) error {
	switch {
	case r.Wrong > 0:
		return &exitError{exitTamper, nil}
	case r.Incomplete != "":
		return &exitError{exitIncomplete, nil}
	}
	return nil
}

func (p *program) verifyOptions(keys, held []string) (o bundle.Options, err error) {
	trusted, err := p.logKeys(keys)
	if err != nil {
		return o, err
	}
	for _, k := range trusted {
		o.Keys = append(o.Keys, k.Public)
	}
	for _, name := range held {
		note, err := p.heldCheckpoint(name)
		if err != nil {
			return o, err
		}
		o.Former = append(o.Former, note)
	}
	return o, nil
}

// keysIn returns the public keys of the log that a file holds.
func keysIn(b []byte) (all []bundle.Key) {
	if k := publicKey(b); k != nil {
		return []bundle.Key{{ID: base64.StdEncoding.EncodeToString(k), Public: k}}
	}
	var said contract.SigningKeys
	if json.Unmarshal(b, &said) != nil {
		return nil
	}
	for _, k := range said.Keys {
		if k.Purpose == contract.SigningPurposeLog && len(k.PublicKey) == ed25519.PublicKeySize {
			all = append(all, bundle.Key{ID: k.SigningKeyID, Public: k.PublicKey})
		}
	}
	return all
}

// heldCheckpoint reads a checkpoint that somebody kept: the note itself, or the one of a
// bundle.
func (p *program) heldCheckpoint(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--checkpoint: %w", files.Cause(err))}
	}
	defer f.Close() // it was only read
	note, err := bundle.CheckpointIn(f)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--checkpoint: %w", err)}
	}
	return note, nil
}

// verifyAny verifies what is at a place: a bundle, a data directory, or a vault.
func (p *program) verifyAny(ctx context.Context, place, tokenFile string, o bundle.Options) (bundle.Report, error) {
	if strings.HasPrefix(place, "https://") || strings.HasPrefix(place, "http://") {
		if tokenFile == "" {
			return bundle.Report{}, usage("--token-file is missing: a vault elsewhere asks for an auditor's token")
		}
		var r bundle.Report
		err := p.asks(ctx, where{url: place, tokenFile: tokenFile}, asAuditor, func(c *client.Client) (err error) {
			s := &served{c: c, cosigned: o.Policy != nil}
			r, err = p.verifySource(ctx, s, o)
			r.Incomplete = cmp.Or(r.Incomplete, s.incomplete())
			return err
		})
		return r, err
	}
	info, err := os.Stat(place)
	if err != nil {
		return bundle.Report{}, &exitError{exitUsage, fmt.Errorf("%s: %w", place, files.Cause(err))}
	}
	if !info.IsDir() {
		return p.verifyFile(ctx, place, info.Size(), o)
	}
	dir := vault.DataDir(place)
	if there, err := dir.Exists(); err != nil || !there {
		return bundle.Report{}, &exitError{exitUsage, errors.Join(err, fmt.Errorf("there is no vault in %s", place))}
	}
	config, err := vault.FromEnv(p.env)
	if err != nil {
		return bundle.Report{}, &exitError{exitUsage, err}
	}
	source, err := vault.OpenAuditSource(ctx, dir, config)
	if err != nil {
		return bundle.Report{}, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	kept, err := source.Checkpoints(ctx)
	if err != nil {
		return bundle.Report{}, err
	}
	o.Former, o.Tail = append(o.Former, kept...), maxUnwitnessed
	r, err := p.verifySource(ctx, source, o)
	if err != nil {
		return r, err
	}
	deleted, err := source.Deleted(ctx)
	for _, stream := range deleted {
		r.Add(bundle.Finding{Kind: bundle.Deleted, Leaf: -1, Stream: string(stream), Says: fmt.Sprintf("the server was told to delete or to truncate the stream %s: its records are gone, or will be", stream)})
	}
	if err != nil {
		return r, err
	}
	err = unsigned(ctx, source, &r, time.Now())
	return r, err
}

// signedBy is how long an event may be there without a checkpoint: a vault that is served signs
// one within seconds.
const signedBy = time.Minute

// unsigned notes what follows the checkpoint of a report in the log, which nothing proves. It is
// incomplete when that was recorded long before now.
func unsigned(ctx context.Context, log *vault.AuditSource, r *bundle.Report, now time.Time) error {
	oldest := int64(math.MaxInt64)
	for e, err := range log.EventsFrom(ctx, r.Size) {
		if err != nil {
			return err
		}
		if r.After++; !e.Damaged {
			oldest = min(oldest, e.Time)
		}
	}
	if r.After > 0 && r.Incomplete == "" && now.Sub(time.UnixMicro(oldest)) > signedBy {
		r.Incomplete = fmt.Sprintf("%d events follow the last checkpoint, and nothing proves them; a vault that is served signs them within seconds", r.After)
	}
	return nil
}

func (p *program) verifyFile(ctx context.Context, name string, size int64, o bundle.Options) (bundle.Report, error) {
	f, err := os.Open(name)
	if err != nil {
		return bundle.Report{}, files.Cause(err)
	}
	defer f.Close() // it was only read
	bar := p.progress(size, "verify", true)
	defer bar.Done()
	o.Told = bar.Add
	return bundle.Verify(ctx, f, o)
}

// verifySource verifies a log as it is.
func (p *program) verifySource(ctx context.Context, source bundle.Source, o bundle.Options) (bundle.Report, error) {
	note, err := source.Checkpoint(ctx)
	if err != nil {
		return bundle.Report{}, err
	}
	var size int64 = -1
	if c, err := proof.Peek(note); err == nil {
		size = c.Size
	}
	bar := p.progress(size, "verify", false)
	defer bar.Done()
	o.Told = bar.Add
	return bundle.VerifySource(ctx, source, o)
}

// shownFindings bounds what is told to people; --json has more.
const shownFindings = 20

func (p *program) printReport(asJSON bool, r bundle.Report) error {
	if asJSON {
		return p.printJSON(r)
	}
	for i, f := range r.Findings {
		if i == shownFindings {
			break
		}
		if _, err := fmt.Fprintf(p.Out, "%-9s  %s\n", f.Kind, printable(f.Says)); err != nil {
			return err
		}
	}
	said := "the log is whole: nothing was removed, altered, reordered or slipped in"
	switch {
	case r.Wrong > shownFindings:
		said = fmt.Sprintf("TAMPERED: %d findings, of which %d are shown", r.Wrong, shownFindings)
	case r.Wrong > 0:
		said = fmt.Sprintf("TAMPERED: %d findings", r.Wrong)
	case r.Incomplete != "":
		said = "INCOMPLETE: " + r.Incomplete
	case !r.Whole:
		said = "every event of this selection is in the log; nothing proves that none was left out"
	}
	key := r.Key
	if key == "" {
		key = "–"
	}
	if r.Trusted {
		key += " (the one you trust)"
	} else {
		key += " (it came with the log: compare it with what you have from elsewhere, or give --key)"
	}
	if _, err := fmt.Fprintln(p.Out, said); err != nil {
		return err
	}
	after := ""
	if r.After > 0 {
		after = strconv.FormatInt(r.After, 10) + ", which nothing proves yet"
	}
	facts := []string{"log", printable(r.Origin), "events under the checkpoint", strconv.FormatInt(r.Size, 10), "events after it", after, "events read", strconv.FormatInt(r.Events, 10),
		"events verified", strconv.FormatInt(r.Verified, 10), "signed", day(r.Signed), "root", r.Root, "key", printable(key)}
	for _, c := range r.Cosigned {
		facts = append(facts, "cosigned by", fmt.Sprintf("%s (%s) at %s, %d events", printable(c.Witness), printable(c.Name), day(c.At), c.Size))
	}
	if r.Witnessed != nil {
		facts = append(facts, "events under enough cosignatures", strconv.FormatInt(r.Witnessed.Size, 10))
	}
	for _, name := range r.Signers {
		facts = append(facts, "cosigned, unverified, by", printable(name)+" (give --witness-policy to verify it)")
	}
	return p.facts(facts...)
}
