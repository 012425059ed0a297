package transit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"coffre/eventstore/checkpoints"
)

// KV is a checkpoints.Place in a key-value engine (version 2) of Vault, which replaces a secret
// only where it still has the version that was read. It logs in as the application, and needs
// to read, create and update that one secret. Its methods may be called concurrently.
type KV struct {
	c    *client
	path string // of the secret's data
}

var _ checkpoints.Place = (*KV)(nil)

// Errors of a place in Vault.
var (
	errKVPath    = errors.New("vault: the place of a secret is MOUNT/PATH, words of letters, digits, - and _, with / between them")
	errKVDeleted = errors.New("its latest version was deleted: undelete it in Vault")
	errKVForeign = errors.New("what lies there is no checkpoint of Coffre")
)

// KVPlace returns mount and path of MOUNT/PATH; ok is false for what names no secret.
func KVPlace(place string) (mount, path string, ok bool) {
	if !mountPattern.MatchString(place) {
		return "", "", false
	}
	return strings.Cut(place, "/")
}

// OpenKV logs in and opens the place at MOUNT/PATH. It needs Vault at once; afterwards Vault may
// come and go.
func OpenKV(ctx context.Context, cfg Config, place string) (*KV, error) {
	mount, path, ok := KVPlace(place)
	if !ok {
		return nil, errKVPath
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c, err := newClient(cfg, application, cfg.Application)
	if err != nil {
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	return &KV{c, mount + "/data/" + path}, nil
}

// Close gives the token back.
func (k *KV) Close() error { k.c.close(); return nil }

// kvSecret is the latest version of a secret; version 0 stands for none.
type kvSecret struct {
	note    []byte
	version int64
}

// take implements answerTaker. Vault answers 404 for a secret that was never there, for one
// whose latest version was deleted, and for an engine that is not there.
func (s *kvSecret) take(status int, answer []byte) error {
	var said struct {
		Errors []string `json:"errors"`
		Data   struct {
			Data *struct {
				Note []byte `json:"note"`
			} `json:"data"`
			Metadata struct {
				Version int64 `json:"version"`
			} `json:"metadata"`
		} `json:"data"`
	}
	if json.Unmarshal(answer, &said) != nil {
		return errAnswer
	}
	switch {
	case status == http.StatusNotFound && said.Data.Metadata.Version > 0:
		return errKVDeleted
	case status == http.StatusNotFound && len(said.Errors) > 0:
		return errNotFound
	case status == http.StatusNotFound:
		return nil
	case said.Data.Data == nil || len(said.Data.Data.Note) == 0 || said.Data.Metadata.Version < 1:
		return errKVForeign
	}
	s.note, s.version = said.Data.Data.Note, said.Data.Metadata.Version
	return nil
}

func (k *KV) read(ctx context.Context) (s kvSecret, err error) {
	_, err = k.c.call(ctx, "read the last checkpoint", k.path, nil, http.StatusNotFound, &s)
	return s, err
}

// Last implements checkpoints.Place.
func (k *KV) Last(ctx context.Context) ([]byte, error) {
	s, err := k.read(ctx)
	return s.note, err
}

// Replace implements checkpoints.Place.
func (k *KV) Replace(ctx context.Context, former, next []byte) error {
	last, err := k.read(ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(last.note, former) {
		return checkpoints.ErrOvertaken
	}
	const doing = "keep a checkpoint"
	status, err := k.c.call(ctx, doing, k.path, map[string]any{
		"options": map[string]any{"cas": last.version}, "data": map[string]any{"note": next},
	}, http.StatusBadRequest, nil)
	if err != nil || status != http.StatusBadRequest {
		return err
	}
	// Another version is there: somebody else's, or ours, of a try whose answer was lost.
	if last, err = k.read(ctx); err != nil {
		return err
	}
	switch {
	case bytes.Equal(last.note, next):
		return nil
	case bytes.Equal(last.note, former):
		return k.c.unavailable(doing, statusError(status))
	}
	return checkpoints.ErrOvertaken
}
