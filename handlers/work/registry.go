package work

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"coffre/domain"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/vocabulary"
)

// registryPollInterval is the time between two looks for a registry that another process
// published.
const registryPollInterval = 2 * time.Second

// Publish records a registry as the next version and serves it; a registry equal to the
// one in force is answered without an event. Mistakes in it are refused with their places.
func (work *Worker) Publish(ctx context.Context, in acting.Intent, all registry.Registry) (eventstore.Result[registry.State, registry.Event], error) {
	var none eventstore.Result[registry.State, registry.Event]
	now, _, err := acting.Registries.Load(ctx, work.Log, registry.StreamName)
	if err != nil {
		return none, err
	}
	next := registry.Publish{Version: now.Version + 1, Registry: all, By: in.Actor}
	if _, err := vocabulary.Compile(registry.Published{Version: next.Version, Registry: all}); err != nil {
		return none, RegistryMistakes(err)
	}
	if err := vocabulary.CheckSchemas(all); err != nil {
		return none, RegistryMistakes(err)
	}
	result, err := acting.Registries.Transact(ctx, work.Log, in.Write(0, registry.StreamName, acting.NoCitizen), next)
	if err != nil {
		return none, RegistryMistakes(err)
	}
	return result, work.Words.Apply(registry.Published(result.State))
}

// loadOrPublishRegistry serves the registry in the log. Into an empty log it publishes the
// registry that files hold, with the labels of the Belgian vocabularies where they are given.
func (work *Worker) loadOrPublishRegistry(ctx context.Context, files, belgif fs.FS) error {
	state, _, err := acting.Registries.Load(ctx, work.Log, registry.StreamName)
	if err != nil {
		return err
	}
	if state.Version > 0 {
		return work.Words.Apply(registry.Published(state))
	}
	all, err := vocabulary.Load(files, belgif)
	if err != nil {
		return fmt.Errorf("load the registry: %w", err)
	}
	in := work.NewIntent(ctx)
	in.Actor = domain.Actor{Role: domain.RoleSystem}
	if _, err = work.Publish(ctx, in, all); !errors.Is(err, registry.ErrNotAllowed) {
		return err
	}
	// Another process that started at the same time was faster.
	if state, _, err = acting.Registries.Load(ctx, work.Log, registry.StreamName); err != nil {
		return err
	}
	return work.Words.Apply(registry.Published(state))
}

// warnUnattested says at the start which facts about persons nobody may state (rule R-13): a
// registry from before there were rights gives none, so that no parent speaks under it and no
// death is taken, until the operator publishes one that does.
func (work *Worker) warnUnattested(ctx context.Context) {
	words := work.Words.Current()
	all := words.Registry()
	if missing := all.Unattested(); len(missing) > 0 {
		work.Slog.WarnContext(ctx, "the registry lets no organisation attest some facts about persons, and what relies on them is refused; give organisations the right (attests) and publish",
			slog.Any("missing", missing), slog.Int("registry", int(words.Version())))
	}
}

// pollRegistry serves every version of the registry that another process publishes, until
// ctx ends.
func (work *Worker) pollRegistry(ctx context.Context) error {
	tick := time.NewTicker(registryPollInterval)
	defer tick.Stop()
	told := "" // what was wrong the last time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		state, _, err := acting.Registries.Load(ctx, work.Log, registry.StreamName)
		if err == nil {
			err = work.Words.Apply(registry.Published(state))
		}
		if ctx.Err() == nil {
			told = work.tellRegistry(ctx, told, err)
		}
	}
}

// tellRegistry logs that the registry cannot be refreshed, once until the reason changes, and
// that it can be again. It returns what is wrong now.
func (work *Worker) tellRegistry(ctx context.Context, told string, err error) string {
	says := ""
	if err != nil {
		says = err.Error()
	}
	switch {
	case says == told:
	case says == "":
		work.Slog.InfoContext(ctx, "the registry is refreshed again")
	default:
		work.Slog.ErrorContext(ctx, "the registry cannot be refreshed; the former one is served", "error", err)
	}
	return says
}

// pointerStep writes the path of a file as one step of a JSON Pointer (RFC 6901).
var pointerStep = strings.NewReplacer("~", "~0", "/", "~1")

// maxMistakes bounds the mistakes that one refusal tells.
const maxMistakes = 100

// RegistryMistakes turns the mistakes in a registry into a refusal that tells each, at most
// maxMistakes, with its file and its place, and returns any other error as it is. Nothing in a
// registry is personal.
func RegistryMistakes(err error) error {
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
			issue := contract.InputValidationIssue{Type: edge.IssuePrefix + refusal.Slug, Title: refusal.Detail, Detail: err.Error(), In: contract.IssueLocationBody}
			var in vocabulary.FileMistake
			if errors.As(err, &in) && in.File != "." {
				issue.Name = "/" + pointerStep.Replace(in.File)
			}
			if len(issues) < maxMistakes {
				issues = append(issues, issue)
			}
		}
	}
	walk(err)
	if refusal := (*domain.Error)(nil); len(issues) == 0 || errors.As(err, &refusal) && refusal.Code != domain.Invalid && len(issues) == 1 {
		return err
	}
	return edge.BadInputs(issues)
}
