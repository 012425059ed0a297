package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/eventstore/codec"
	"coffre/eventstore/proof"
	"coffre/eventstore/proof/bundle"
	"coffre/handlers/contract"
)

func newAuditBundle(p *program) *cobra.Command {
	var at where
	var out output
	var asJSON bool
	var s selection
	cmd := &cobra.Command{
		Use: "bundle --out FILE", Short: "Take the log home, with all that proves it",
		Long: `Writes one file with the events that a checkpoint covers, the hashes of the tree, the checkpoint
and the public keys: what coffre audit verify needs, without vault, network or key. Personal
parts stay sealed. The same events under the same checkpoint make the same file. With a
selection each event comes with its own proof; nothing proves then that none was left out.

Where the vault has a policy of witnesses, the checkpoint is the last one with as many
cosignatures as it asks for, unless that is five minutes old; then it is beside the last one.
Without, it covers everything that was recorded before the command. Where the vault signs
none within five seconds, the bundle is of the last one, and the exit code is 4. It ends with 0
when the bundle is there, 1 on an error, 2 on a mistake of usage.`,
		Example: `  coffre audit bundle --data data --out log.bundle
  coffre audit bundle --url https://vault.example --token-file t --stream consent-0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --out one.bundle
  coffre audit bundle --data data --type consent.granted --from 2026-03-01 --until 2026-03-31 --out march.bundle`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			r, err := s.chosen()
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, asAuditor, func(c *client.Client) error {
				from := &served{c: c, cosigned: true}
				note, err := from.Checkpoint(cmd.Context())
				if err != nil {
					return err
				}
				covers, err := proof.Peek(note)
				if err != nil {
					return err
				}
				bar := p.progress(covers.Size, "events", false)
				defer bar.Done()
				var held int64
				err = out.write(func(w io.Writer) error {
					held, err = bundle.Write(cmd.Context(), w, from, eventForms(), r.selects(from), func() { bar.Add(1) })
					return err
				})
				if err != nil {
					return err
				}
				bar.Done()
				err = p.print(asJSON, bundled{out.name, covers.Origin, covers.Size, held, r.narrow(), from.incomplete()}, "bundle", out.name, "log", covers.Origin,
					"events", strconv.FormatInt(held, 10), "events under the checkpoint", strconv.FormatInt(covers.Size, 10), "signed", day(covers.Time), "INCOMPLETE", from.incomplete())
				if err == nil && from.late {
					err = &exitError{exitIncomplete, nil}
				}
				return err
			})
		},
	}
	at.flags(cmd)
	s.flags(cmd)
	out.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// bundled tells which bundle was written.
type bundled struct {
	File      string `json:"file"`
	Origin    string `json:"origin"`
	Size      int64  `json:"size"` // events under the checkpoint
	Events    int64  `json:"events"`
	Selection bool   `json:"selection"`
	// Incomplete says what the bundle lacks of what was recorded before it was asked for.
	Incomplete string `json:"incomplete,omitempty"`
}

// eventForms are the permanent names of all events that this program knows.
func eventForms() (all []string) {
	for form := range codec.Catalog.Names() {
		all = append(all, form)
	}
	return all
}

// selects returns what a bundle holds of the log; nil for all.
func (r replay) selects(from *served) bundle.Selection {
	if !r.narrow() {
		return nil
	}
	has := r.chooser()
	return func(*bundle.Event) bool { return has(from.last) }
}

// narrow reports whether less than the whole log is asked for.
func (r replay) narrow() bool {
	return r.follows() || r.stream != "" || len(r.types) > 0 || len(r.roles) > 0 || len(r.organisations) > 0 || r.from != nil || r.until != nil
}

// served is the log as a vault serves it. It is for one goroutine.
type served struct {
	c *client.Client
	// cosigned asks for the last checkpoint with enough cosignatures, where it is not much
	// older than the last one.
	cosigned bool

	note   []byte
	late   bool // the checkpoint does not cover what was recorded before it was asked for
	asked  bool // whether enough was asked for
	enough []byte
	tiles  map[proof.Tile][]proof.Hash
	last   contract.LogEvent // the event that was yielded last, as it was served
}

var _ bundle.Source = (*served)(nil)

// maxTile bounds a tile, in bytes.
const maxTile = proof.TileWidth * len(proof.Hash{})

// incomplete says what a log lacks under a checkpoint that is late, "" when it is not.
func (s *served) incomplete() string {
	if !s.late {
		return ""
	}
	return "the vault has signed no checkpoint for more than five seconds, and what it recorded last is in none"
}

// Checkpoint implements bundle.Source. It is asked for once, so that all belongs together. It
// covers whatever was recorded before, if the vault signs one within seconds.
func (s *served) Checkpoint(ctx context.Context) ([]byte, error) {
	if s.note != nil {
		return s.note, nil
	}
	enough, err := s.Witnessed(ctx)
	if err != nil {
		return nil, err
	}
	note, err := s.checkpoint(ctx, contract.GetCheckpointParams{Covering: contract.CheckpointCoveringNow})
	if refusal, refused := errors.AsType[*client.Refusal](err); refused && refusal.Slug() == "checkpointBehind" {
		s.late = true
		note, err = s.checkpoint(ctx, contract.GetCheckpointParams{})
	}
	if err != nil {
		return nil, err
	}
	last, err := proof.Peek(note)
	if err != nil {
		return nil, err
	}
	if c, err := proof.Peek(enough); s.cosigned && err == nil && c.Origin == last.Origin && last.Time.Sub(c.Time) <= maxUnwitnessed {
		note, s.late = enough, false
	}
	s.note = note
	return note, nil
}

// maxUnwitnessed is how much later than the last checkpoint with enough cosignatures the last
// one may be signed: as long as it takes an operator to be told.
const maxUnwitnessed = 5 * time.Minute

func (s *served) checkpoint(ctx context.Context, which contract.GetCheckpointParams) ([]byte, error) {
	body, err := client.Stream(s.c.GetCheckpoint(ctx, which))
	if err != nil {
		return nil, err
	}
	note, err := files.ReadAtMost(body, proof.MaxCheckpoint)
	return note, errors.Join(err, body.Close())
}

// Witnessed implements bundle.Source. It is asked for once, too.
func (s *served) Witnessed(ctx context.Context) ([]byte, error) {
	if s.asked {
		return s.enough, nil
	}
	note, err := s.checkpoint(ctx, contract.GetCheckpointParams{Which: contract.WhichCheckpointWitnessed})
	if no, refused := errors.AsType[*client.Refusal](err); refused && no.Status == http.StatusNotFound {
		note, err = nil, nil
	}
	s.enough, s.asked = note, err == nil
	return note, err
}

// LogKeys implements bundle.Source.
func (s *served) LogKeys(ctx context.Context) (all []bundle.Key, err error) {
	keys, err := client.Read[contract.SigningKeys](s.c.GetSigningKeys(ctx))
	for _, k := range keys.Body.Keys {
		if k.Purpose == contract.SigningPurposeLog {
			all = append(all, bundle.Key{ID: k.SigningKeyID, Public: k.PublicKey})
		}
	}
	return all, err
}

// Nodes implements proof.Nodes.
func (s *served) Nodes(ctx context.Context, level int, first int64, count int) ([]proof.Hash, error) {
	tile := proof.Tile{Level: level, First: first - first%proof.TileWidth, Width: int(first%proof.TileWidth) + count}
	if hashes, known := s.tiles[tile]; known {
		return hashes[first-tile.First:], nil
	}
	body, err := client.Stream(s.c.GetTile(ctx, tile.Path()))
	if err != nil {
		return nil, err
	}
	data, err := files.ReadAtMost(body, int64(maxTile))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, err
	}
	hashes, whole := proof.Split(data)
	if !whole || len(hashes) != tile.Width {
		return nil, fmt.Errorf("the tile %s has %d bytes", tile.Path(), len(data))
	}
	if s.tiles == nil || len(s.tiles) > 64 {
		s.tiles = make(map[proof.Tile][]proof.Hash)
	}
	s.tiles[tile] = hashes
	return hashes[first-tile.First:], nil
}

// LogEvents implements bundle.Source.
func (s *served) LogEvents(ctx context.Context, size int64) iter.Seq2[bundle.Event, error] {
	return func(yield func(bundle.Event, error) bool) {
		leaf, stopped := int64(0), false
		ask := contract.ListEventsParams{PageSize: 1000}
		err := eachPage(func(after contract.Cursor) ([]contract.LogEvent, contract.Cursor, error) {
			if leaf >= size {
				return nil, "", nil
			}
			ask.After = after
			page, err := client.Read[contract.LogEvents](s.c.ListEvents(ctx, ask))
			return page.Body.Items, page.Body.NextCursor, err
		}, func(e contract.LogEvent) error {
			if stopped || leaf >= size {
				return nil
			}
			s.last = e
			one := bundle.Event{
				Leaf: leaf, ID: e.EventID, Stream: e.Stream, Revision: e.Revision, Type: fmt.Sprintf("%s/%d", e.Type, e.Form),
				Time: e.RecordedAt.UnixMicro(), Meta: e.Metadata, Clear: e.Facts, Sealed: e.Sealed,
			}
			leaf++
			stopped = !yield(one, nil)
			return nil
		})
		if err != nil && !stopped {
			yield(bundle.Event{}, err)
		}
	}
}

// selection are the flags that say which part of the log is meant.
type selection struct {
	citizen, document, consumer, stream, from, until string
	types, roles, orgs                               []string
}

func (s *selection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.citizen, "citizen", "", "only what concerns this citizen, by `id`")
	f.StringVar(&s.document, "document", "", "only what concerns this document, by `id`")
	f.StringVar(&s.consumer, "consumer", "", "only what concerns this organisation, by `number`: its consents, accesses and refusals")
	f.StringVar(&s.stream, "stream", "", "only this stream, by `name`: registry, or a kind and an id as in consent-0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44")
	f.StringSliceVar(&s.types, "type", nil, "only these `types` of event")
	f.StringSliceVar(&s.roles, "role", nil, "only what callers in these `roles` did")
	f.StringSliceVar(&s.orgs, "org", nil, "only what callers of these organisations did, by `number`")
	complete(cmd, "role", actorRoles...)
	f.StringVar(&s.from, "from", "", "recorded from this `moment` or day on")
	f.StringVar(&s.until, "until", "", "recorded before this `moment`, or until this day, the day included")
	complete(cmd, "type", slices.Sorted(maps.Keys(sentences))...)
}

// logKeys reads public keys as people hand them on: the base64 of one, a file with it, or the
// file that coffre erase keys --json writes, of which those count that sign the log.
func (p *program) logKeys(said []string) (all []bundle.Key, err error) {
	for _, one := range said {
		name, isFile := strings.CutPrefix(one, "@")
		if !isFile {
			if k := publicKey([]byte(one)); k != nil {
				all = append(all, bundle.Key{ID: base64.StdEncoding.EncodeToString(k), Public: k})
				continue
			}
		}
		b, err := p.readFile(name, maxKeys)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("%w: %w", errNoKey, files.Cause(err))}
		}
		more := keysIn(b)
		if len(more) == 0 {
			return nil, &exitError{exitUsage, errNoKey}
		}
		all = append(all, more...)
	}
	return all, nil
}
