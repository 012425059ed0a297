package bundle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"coffre/eventstore/proof"
)

// trust adds the keys of the policy's logs to those that count.
func (v *verification) trust() {
	if v.o.Policy == nil || len(v.o.Policy.Logs) == 0 {
		return
	}
	logs := v.o.Policy.LogKeys(v.checkpoint.Origin)
	if len(logs) == 0 {
		v.report.Add(Finding{Signature, -1, "", "the policy knows no log " + v.checkpoint.Origin})
	}
	v.o.Keys = slices.Clone(v.o.Keys)
	for _, l := range logs {
		v.o.Keys = append(v.o.Keys, l.Public)
	}
}

// openWitnessed judges the checkpoint with cosignatures that the bundle has beside its own.
func (v *verification) openWitnessed() error {
	if v.witnessed == nil {
		return nil
	}
	note := []byte(v.witnessed.Checkpoint)
	path, ok := proof.Split(v.witnessed.Proof)
	c, err := proof.Open(note, v.knownKeys()...)
	now := v.checkpoint
	switch {
	case !ok || c.Size < 1 || c.Origin != now.Origin || c.Size > now.Size || !c.Time.Before(now.Time):
		return ErrFormat
	case err != nil:
		v.report.Add(Finding{Signature, -1, "", "the checkpoint that witnesses cosigned is signed by another key"})
	case proof.CheckConsistency(path, now.Size, now.Root, c.Size, c.Root) != nil:
		v.report.Add(Finding{Forked, -1, "", fmt.Sprintf("the checkpoint that witnesses cosigned, of %d events, is none of this history: two histories of one log", c.Size)})
	default:
		v.cosignatures(note, c)
	}
	return nil
}

// cosignatures takes those on a checkpoint that is of this history.
func (v *verification) cosignatures(note []byte, c proof.Checkpoint) {
	if v.o.Policy == nil {
		for _, name := range proof.Signers(note) {
			if !slices.Contains(v.report.Signers, name) {
				v.report.Signers = append(v.report.Signers, name)
			}
		}
		return
	}
	p := v.o.Policy
	all, wrong, err := proof.Cosignatures(note, p.Keys())
	if err != nil {
		return // who reads the checkpoint says so
	}
	for _, w := range wrong {
		v.report.Add(Finding{Signature, -1, "", fmt.Sprintf("the cosignature of %s on the checkpoint of %d events does not verify", p.NameOf(w), c.Size)})
	}
	covered := Covered{c.Size, c.Time}
	for _, one := range all {
		said := Cosigned{p.NameOf(one.Witness), one.Witness.Name, one.At, covered}
		if !slices.Contains(v.report.Cosigned, said) {
			v.report.Cosigned = append(v.report.Cosigned, said)
		}
	}
	if p.NeedsAny() && p.Enough(all) && (v.report.Witnessed == nil || v.report.Witnessed.Signed.Before(c.Time)) {
		v.report.Witnessed = &covered
	}
}

// judgeQuorum says whether enough witnesses cosigned what was verified.
func (v *verification) judgeQuorum() {
	if v.o.Policy == nil || !v.o.Policy.NeedsAny() || v.report.Incomplete != "" {
		return
	}
	now, last := v.checkpoint, v.report.Witnessed
	switch {
	case last == nil && len(v.report.Cosigned) == 0:
		v.report.Incomplete = "no witness of the policy has cosigned this log"
	case last == nil:
		var names []string
		for _, c := range v.report.Cosigned {
			if !slices.Contains(names, c.Witness) {
				names = append(names, c.Witness)
			}
		}
		v.report.Incomplete = "fewer witnesses have cosigned this log than the policy asks for: " + strings.Join(names, ", ")
	case last.Size < now.Size && now.Time.Sub(last.Signed) > v.o.Tail:
		v.report.Incomplete = fmt.Sprintf("the last checkpoint with enough cosignatures covers %d of the %d events, and was signed %s before this one", last.Size, now.Size, now.Time.Sub(last.Signed).Round(time.Second))
	}
}
