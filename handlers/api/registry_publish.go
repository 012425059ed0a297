package api

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/domain"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/vocabulary"
)

// lookForRegistry is how often a process asks whether another one published.
const lookForRegistry = 2 * time.Second

// PublishRegistry implements POST /registry (rules ). The body holds
// the files of a registry directory by path. They are compiled first, so that
// nothing is published that a process could not serve.
func (v *Vault) PublishRegistry(ctx context.Context, r contract.PublishRegistryRequestObject) (contract.PublishRegistryResponseObject, error) {
	type published struct {
		New     bool
		Receipt contract.RegistryReceipt
		At      contract.PositionToken
	}
	done, err := once(ctx, v, r.Params.IdempotencyKey, func(ctx context.Context, in intent) (published, error) {
		files, err := filesOf(*r.Body)
		if err != nil {
			return published{}, err
		}
		all, err := vocabulary.Load(files, nil)
		if err != nil {
			return published{}, registryMistakes(err)
		}
		result, err := v.publish(ctx, in, all)
		if err != nil {
			return published{}, err
		}
		at, err := v.position(ctx, result.Position)
		return published{New: len(result.Events) > 0, Receipt: registryReceipt(result.State), At: at}, err
	})
	switch {
	case err != nil:
		return nil, err
	case done.New:
		return contract.PublishRegistry201JSONResponse{Body: done.Receipt, Headers: contract.PublishRegistry201ResponseHeaders{CoffrePosition: done.At}}, nil
	}
	return contract.PublishRegistry200JSONResponse{Body: done.Receipt, Headers: contract.PublishRegistry200ResponseHeaders{CoffrePosition: done.At}}, nil
}

func (v *Vault) publish(ctx context.Context, in intent, all registry.Registry) (eventstore.Result[registry.State, registry.Event], error) {
	var none eventstore.Result[registry.State, registry.Event]
	now, _, err := registries.Load(ctx, v.Log, registry.StreamName)
	if err != nil {
		return none, err
	}
	next := registry.Publish{Version: now.Version + 1, Registry: all, By: in.actor}
	if _, err := vocabulary.Compile(registry.Published{Version: next.Version, Registry: all}); err != nil {
		return none, registryMistakes(err)
	}
	result, err := registries.Transact(ctx, v.Log, in.write(0, registry.StreamName, noCitizen), next)
	if err != nil {
		return none, registryMistakes(err)
	}
	return result, v.Words.Apply(registry.Published(result.State))
}

// followRegistry serves the registry in the log. Into an empty log it publishes
// what files hold, with the labels of the Belgian vocabularies where they are given.
func (v *Vault) followRegistry(ctx context.Context, files, belgif fs.FS) error {
	state, _, err := registries.Load(ctx, v.Log, registry.StreamName)
	if err != nil {
		return err
	}
	if state.Version > 0 {
		return v.Words.Apply(registry.Published(state))
	}
	all, err := vocabulary.Load(files, belgif)
	if err != nil {
		return fmt.Errorf("load the registry: %w", err)
	}
	in := v.intend(ctx)
	in.actor = domain.Actor{Role: domain.RoleSystem}
	if _, err = v.publish(ctx, in, all); !errors.Is(err, registry.ErrNotAllowed) {
		return err
	}
	// Another process that started at the same time was faster.
	if state, _, err = registries.Load(ctx, v.Log, registry.StreamName); err != nil {
		return err
	}
	return v.Words.Apply(registry.Published(state))
}

// serveNewestRegistry looks until ctx ends whether another process published.
func (v *Vault) serveNewestRegistry(ctx context.Context) error {
	tick := time.NewTicker(lookForRegistry)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		state, _, err := registries.Load(ctx, v.Log, registry.StreamName)
		if err == nil {
			err = v.Words.Apply(registry.Published(state))
		}
		if err != nil && ctx.Err() == nil {
			v.Slog.ErrorContext(ctx, "the registry cannot be refreshed; the former one is served", "error", err)
		}
	}
}

var errRegistryFiles = domain.NewError(domain.Invalid, "registryFiles", "the body names each file of a registry directory with its JSON object")

// filesOf makes a file system in memory of {"path": {...}, ...}.
func filesOf(body []byte) (fs.FS, error) {
	var files map[string]jsontext.Value
	if json.Unmarshal(body, &files) != nil || len(files) == 0 {
		return nil, errRegistryFiles
	}
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for name, content := range files {
		if !fs.ValidPath(name) {
			return nil, errRegistryFiles
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			return nil, fmt.Errorf("pack registry files: %w", err)
		}
		if _, err := f.Write(content); err != nil {
			return nil, fmt.Errorf("pack registry files: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack registry files: %w", err)
	}
	return zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
}

// registryMistakes answers with every mistake in a registry, each with its place;
// another error it leaves as it is. Nothing in a registry is personal.
func registryMistakes(err error) error {
	var issues []contract.InputValidationIssue
	var walk func(error)
	walk = func(err error) {
		var mistake registry.Mistake
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			for _, each := range e.Unwrap() {
				walk(each)
			}
		default:
			var refusal *domain.Error
			if errors.As(err, &mistake) {
				refusal = mistake.Err
			} else if !errors.As(err, &refusal) {
				return
			}
			issues = append(issues, contract.InputValidationIssue{Type: edge.IssueOurs + refusal.Slug, Title: refusal.Detail, Detail: err.Error(), In: contract.IssueLocationBody})
		}
	}
	walk(err)
	if refusal := (*domain.Error)(nil); len(issues) == 0 || errors.As(err, &refusal) && refusal.Code != domain.Invalid && len(issues) == 1 {
		return err
	}
	return edge.BadInputs(issues)
}

func registryReceipt(s registry.State) contract.RegistryReceipt {
	return contract.RegistryReceipt{Version: s.Version, DocumentTypes: len(s.Registry.DocumentTypes), Organizations: len(s.Registry.Organisations)}
}
