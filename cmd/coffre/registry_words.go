package main

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"coffre/cmd/coffre/client"
	"coffre/handlers/contract"
)

// askedWord is a word of the registry that a person typed.
type askedWord struct {
	flag, word string
	known      func(contract.Registry) []string
}

func askedType(word string) askedWord {
	return askedWord{"type", word, func(r contract.Registry) (all []string) {
		for _, t := range r.DocumentTypes {
			all = append(all, string(t.DocumentType))
		}
		return all
	}}
}

func askedPurpose(word string) askedWord {
	return askedWord{"purpose", word, func(r contract.Registry) (all []string) {
		for _, p := range r.Purposes {
			all = append(all, p.Code)
		}
		return all
	}}
}

func askedReason(kind contract.ReasonKind, word string) askedWord {
	return askedWord{"reason", word, func(r contract.Registry) (all []string) {
		for _, reason := range r.Reasons {
			if reason.Kind == kind {
				all = append(all, string(reason.Code))
			}
		}
		return all
	}}
}

// explainWords returns err, or, where the vault refused a request for a word that its registry
// does not have, an error of usage that names the flag, and a word that comes near. The
// vault's answer alone may tell nothing: to a stranger's question it is "no such thing".
func explainWords(ctx context.Context, c *client.Client, err error, asked ...askedWord) error {
	refusal, refused := errors.AsType[*client.Refusal](err)
	if !refused || !slices.Contains([]int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound}, refusal.Status) {
		return err
	}
	r, unread := client.Read[contract.Registry](c.GetRegistry(ctx, contract.GetRegistryParams{}))
	if unread != nil {
		return err // the refusal is what counts
	}
	if unknown := unknownWord(r.Body, asked...); unknown != nil {
		return unknown
	}
	return err
}

// unknownWord returns an error of usage for the first word that the registry does not have.
func unknownWord(r contract.Registry, asked ...askedWord) error {
	for _, a := range asked {
		if known := a.known(r); a.word != "" && !slices.Contains(known, a.word) {
			return usage("--%s: the registry has no %q for this%s (coffre registry show lists what it has)", a.flag, printable(a.word), nearest(a.word, known))
		}
	}
	return nil
}
