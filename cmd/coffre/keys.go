package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

func newKeys(p *program) *cobra.Command {
	return group("keys", "See and rotate the keys, find damage in the key database",
		`  coffre keys status --data data
  coffre keys rotate --data data
  coffre keys check --data data`,
		newKeysStatus(p), newKeysSchedule(p), newKeysRotate(p), newKeysRetire(p), newKeysTrim(p), newKeysCheck(p), newKeysRestore(p))
}

func newKeysStatus(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Which keys there are; never a key",
		Example: `  coffre keys status --data data`,
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				state, err := client.Read[contract.KeyState](c.GetKeys(cmd.Context()))
				if err != nil {
					return err
				}
				return p.printKeys(asJSON, state.Body)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p *program) printKeys(asJSON bool, k contract.KeyState) error {
	if asJSON {
		return p.printJSON(k)
	}
	if err := p.facts(
		"where", k.Provider, "data keys", strconv.FormatInt(k.DataKeys, 10), "content keys", strconv.FormatInt(k.ContentKeys, 10),
		"destroyed", strconv.FormatInt(orZero(k.DestroyedKeys), 10), "rotation", string(k.Rotation.State), "next step", nextSteps[k.NextStep],
		"backup taken", day(k.LastBackup.TakenAt), "pepper", pepperFacts(k.Pepper),
	); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(p.Out); err != nil {
		return err
	}
	t := p.table("KEK VERSION", "CURRENT", "MADE", "WRAPS", "RETIRED", "DESTROYED")
	for _, kek := range k.KeyEncryptionKeys {
		t.row(strconv.Itoa(kek.Version), yes(kek.Current), day(kek.CreatedAt), strconv.FormatInt(kek.Wraps, 10), day(kek.RetiredAt), day(kek.TrimmedAt))
	}
	return t.flush()
}

// nextSteps says what an operator does next.
var nextSteps = map[contract.RotationStep]string{
	contract.RotationStepRotate: "none; rotate begins a rotation",
	contract.RotationStepRewrap: "the keys are wrapped again",
	contract.RotationStepBackUp: "take a backup and verify it",
	contract.RotationStepRetire: "retire the older versions",
	contract.RotationStepTrim:   "trim what was retired",
}

// orZero returns the number of an answer, 0 where it has none.
func orZero[N int | int64](n *N) N {
	if n == nil {
		return 0
	}
	return *n
}

func pepperFacts(p contract.PepperState) string {
	said := fmt.Sprintf("version %d, %s", p.Version, p.Phase)
	toIndex, waiting, toDrop := orZero(p.ToIndex), orZero(p.Waiting), orZero(p.ToDrop)
	switch {
	case waiting > 0:
		return fmt.Sprintf("%s; %d numbers to index, %d of them wait for an erasure to end", said, toIndex, waiting)
	case toIndex > 0:
		return fmt.Sprintf("%s; %d numbers to index", said, toIndex)
	case toDrop > 0:
		return fmt.Sprintf("%s; %d entries to drop", said, toDrop)
	}
	return said
}

func newKeysRotate(p *program) *cobra.Command {
	var at where
	var asJSON, pepper, audit, requests bool
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make a new key-encryption key and wrap every data key again",
		Long: `Make a new key-encryption key and wrap every data key again, while the vault is in
use. The older versions still open what is in backups, until retire and trim.

With --pepper: replace the key that people are found by their number under, and the one that
remembers the numbers of erased persons.
With --audit: replace the key under which the log names those who act.
With --requests: replace the key under which requests are remembered; not within eight days.`,
		Example: `  coffre keys rotate --data data
  coffre keys rotate --data data --pepper
  coffre keys rotate --data data --audit
  coffre keys rotate --data data --requests`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				switch {
				case pepper:
					return p.rotatePepper(cmd.Context(), c, asJSON)
				case audit:
					return p.rotateAudit(cmd.Context(), c, asJSON)
				case requests:
					return p.rotateRequests(cmd.Context(), c, asJSON)
				}
				return p.rotateKeys(cmd.Context(), c, asJSON)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&pepper, "pepper", false, "replace the pepper and not the key-encryption key")
	cmd.Flags().BoolVar(&audit, "audit", false, "replace the audit key and not the key-encryption key")
	cmd.Flags().BoolVar(&requests, "requests", false, "replace the request key and not the key-encryption key")
	cmd.MarkFlagsMutuallyExclusive("pepper", "audit", "requests")
	return cmd
}

func (p *program) rotateKeys(ctx context.Context, c *client.Client, asJSON bool) error {
	begun, err := client.Read[contract.KeyState](c.RotateKeys(ctx, contract.RotateKeysParams{IdempotencyKey: uuid.New()}))
	if err != nil {
		return err
	}
	done := func(k contract.KeyState) int64 { return orZero(k.RotationDone) }
	task := func(k contract.KeyState) contract.TaskProgress { return k.Rotation }
	return p.follow(ctx, c, asJSON, p.progress(begun.Body.DataKeys, "wrap data keys", false), done, task)
}

func (p *program) rotatePepper(ctx context.Context, c *client.Client, asJSON bool) error {
	begun, err := client.Read[contract.KeyState](c.RotatePepper(ctx, contract.RotatePepperParams{IdempotencyKey: uuid.New()}))
	if err != nil {
		return err
	}
	// Each number is indexed once and dropped once.
	total := orZero(begun.Body.Pepper.ToIndex)
	done := func(k contract.KeyState) int64 {
		switch k.Pepper.Phase {
		case contract.PepperPhaseDoubled:
			return max(0, total-orZero(k.Pepper.ToIndex))
		case contract.PepperPhaseSwitched:
			return total
		case contract.PepperPhaseDropping:
			return max(total, 2*total-orZero(k.Pepper.ToDrop))
		}
		return 2 * total
	}
	task := func(k contract.KeyState) contract.TaskProgress { return k.Pepper.Rotation }
	return p.follow(ctx, c, asJSON, p.progress(2*total, "index numbers", false), done, task)
}

func (p *program) rotateAudit(ctx context.Context, c *client.Client, asJSON bool) error {
	done, err := client.Read[contract.AuditKeyState](c.RotateAudit(ctx, contract.RotateAuditParams{IdempotencyKey: uuid.New()}))
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(done.Body)
	}
	_, err = fmt.Fprintf(p.Out, "the audit key has version %d\n", done.Body.Version)
	return err
}

func (p *program) rotateRequests(ctx context.Context, c *client.Client, asJSON bool) error {
	done, err := client.Read[contract.RequestKeyState](c.RotateRequests(ctx, contract.RotateRequestsParams{IdempotencyKey: uuid.New()}))
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(done.Body)
	}
	_, err = fmt.Fprintf(p.Out, "the request key has version %d, from the next minute on\n", done.Body.Version)
	return err
}

// follow shows how far a rotation is until it ends.
func (p *program) follow(ctx context.Context, c *client.Client, asJSON bool, bar progress, done func(contract.KeyState) int64, task func(contract.KeyState) contract.TaskProgress) error {
	defer bar.Done()
	var state contract.KeyState
	shown := int64(0)
	if err := poll(ctx, func() (bool, time.Time, error) {
		now, err := client.Read[contract.KeyState](c.GetKeys(ctx))
		if err != nil {
			return false, time.Time{}, err
		}
		state = now.Body
		bar.Add(max(0, done(state)-shown))
		shown = max(shown, done(state))
		return finished(task(state))
	}); err != nil {
		return err
	}
	bar.Done()
	return p.printKeys(asJSON, state)
}

func newKeysRetire(p *program) *cobra.Command {
	var at where
	var asJSON bool
	cmd := &cobra.Command{
		Use: "retire", Short: "Refuse the older versions of the key-encryption key",
		Long: `Refuse the older versions of the key-encryption key. It is refused itself while one
of them wraps a key, and without a backup that was taken after the last rotation and
restored for a test. Nothing is destroyed yet.`,
		Example: `  coffre keys retire --data data`,
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				before, err := client.Read[contract.KeyState](c.GetKeys(cmd.Context()))
				if err != nil {
					return err
				}
				state, err := client.Read[contract.KeyState](c.RetireKeys(cmd.Context(), contract.RetireKeysParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return err
				}
				if ended(before.Body, retired) == ended(state.Body, retired) {
					fmt.Fprint(p.Err, "There was nothing to retire: no older version of the key-encryption key is in use.\n\n")
				}
				return p.printKeys(asJSON, state.Body)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newKeysTrim(p *program) *cobra.Command {
	var at where
	var asJSON, sure bool
	cmd := &cobra.Command{
		Use: "trim", Short: "Destroy the retired versions of the key-encryption key, for good",
		Long: `Destroy the retired versions of the key-encryption key, for good: whatever copy is
still wrapped by one of them opens nowhere any more. On a terminal it asks; elsewhere
--yes says that you are sure.`,
		Example: `  coffre keys trim --data data
  coffre keys trim --data data --yes`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !sure {
				if err := p.confirm("This destroys versions of the key-encryption key for good. Type trim to go on: ", "trim"); err != nil {
					return err
				}
			}
			return p.asks(cmd.Context(), at, asOperator, func(c *client.Client) error {
				before, err := client.Read[contract.KeyState](c.GetKeys(cmd.Context()))
				if err != nil {
					return err
				}
				state, err := client.Read[contract.KeyState](c.TrimKeys(cmd.Context(), contract.TrimKeysParams{IdempotencyKey: uuid.New()}))
				if err != nil {
					return err
				}
				if ended(before.Body, trimmed) == ended(state.Body, trimmed) {
					fmt.Fprint(p.Err, "There was nothing to trim: no retired version of the key-encryption key is left.\n\n")
				}
				return p.printKeys(asJSON, state.Body)
			})
		},
	}
	at.flags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&sure, "yes", false, "do not ask")
	return cmd
}

// ended counts the versions of the key-encryption key that have that end.
func ended(k contract.KeyState, end func(contract.KeyEncryptionKey) time.Time) (n int) {
	for _, kek := range k.KeyEncryptionKeys {
		if !end(kek).IsZero() {
			n++
		}
	}
	return n
}

func retired(kek contract.KeyEncryptionKey) time.Time { return kek.RetiredAt }
func trimmed(kek contract.KeyEncryptionKey) time.Time { return kek.TrimmedAt }

// finished tells poll whether a task is over.
func finished(s contract.TaskProgress) (bool, time.Time, error) {
	switch s.State {
	case contract.TaskStateProcessing:
		return false, s.PollAfter, nil
	case contract.TaskStateFailed:
		return false, time.Time{}, &client.Refusal{Problem: s.Problem}
	case contract.TaskStateCancelled:
		return false, time.Time{}, errTaskCancelled
	}
	return true, time.Time{}, nil
}

var errTaskCancelled = errors.New("somebody cancelled it")

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// day is a moment as people read it, in UTC; "" when it is absent.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}
