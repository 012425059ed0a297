package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore/proof"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/accesslog"
)

// QueryAffectedPersons implements POST /affectedPersons/query, the question after a breach: whose
// documents of a type went to an organisation in a time. It tells references and counts, opens
// nothing, and is on record with its reason before it tells anything.
func (v *Vault) QueryAffectedPersons(ctx context.Context, r contract.QueryAffectedPersonsRequestObject) (contract.QueryAffectedPersonsResponseObject, error) {
	p, body := r.Params, r.Body
	in := v.NewIntent(ctx)
	if err := acting.CheckWords(in.TypeAt("documentType", body.DocumentType), in.OrganisationAt("consumer", body.Consumer)); err != nil {
		return nil, err
	}
	if err := in.ReasonOfAnyKind(body.Reason); err != nil {
		return nil, err
	}
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.AccessLog.Name()); err != nil {
		return nil, err
	}
	var after domain.CitizenID
	known, first, now := int64(-1), p.After == "", in.At
	if body.AsOf != nil {
		now = body.AsOf.UTC()
	}
	if !first {
		place, err := v.PlaceFrom("queryAffectedPersons", p.After, 4)
		if err != nil {
			return nil, err
		}
		known, now = place[0], time.UnixMicro(place[3]).UTC()
		binary.BigEndian.PutUint64(after.UUID[:8], uint64(place[1]))
		binary.BigEndian.PutUint64(after.UUID[8:], uint64(place[2]))
	} else if body.AsOf != nil {
		var err error
		if known, err = v.leafAt(ctx, *body.AsOf); err != nil {
			return nil, err
		}
	}
	if err := v.recordAffectedQuestion(ctx, in, body); err != nil {
		return nil, err
	}
	size := edge.PageSize(p.PageSize)
	links := edge.LinksTo(contract.Base+"/affectedPersons/query").Number("pageSize", p.PageSize)
	page := contract.AffectedPersons{Self: links.At(p.After), Items: []contract.AffectedPerson{}, PageSize: size}
	a := accesslog.Affected{Type: body.DocumentType, Consumer: body.Consumer, From: body.From, Until: body.Until, Now: now}
	if first {
		var err error
		if known, page.Checkpoint, err = v.affectedEnd(ctx, known, body.AsOf != nil); err != nil {
			return nil, err
		}
		if page.Totals, err = v.affectedTotals(ctx, known, a); err != nil {
			return nil, err
		}
	}
	page.Events = known + 1
	if known < 0 { // nothing was recorded by then
		return contract.QueryAffectedPersons200JSONResponse(page), nil
	}
	found, err := v.AccessLog.AffectedPersons(ctx, known, a, after, size+1)
	if err != nil {
		return nil, err
	}
	if len(found) > size {
		found = found[:size]
		last := found[size-1].Citizen.UUID
		page.Next, page.NextCursor = links.Next(v.Cursor("queryAffectedPersons", known, int64(binary.BigEndian.Uint64(last[:8])), int64(binary.BigEndian.Uint64(last[8:])), now.UnixMicro()))
	}
	citizens := make([]domain.CitizenID, len(found))
	for i, one := range found {
		citizens[i] = one.Citizen
	}
	refs, err := v.OfficersRefs(ctx, citizens)
	if err != nil {
		return nil, err
	}
	for _, one := range found {
		if ref, known := refs[one.Citizen]; known { // else erased just now
			page.Items = append(page.Items, contract.AffectedPerson{
				CitizenRef: ref, Accesses: one.Accesses, MayHaveBeenDisclosed: one.Accesses - one.Disclosed, FirstAt: one.First, LastAt: one.Last,
			})
		}
	}
	return contract.QueryAffectedPersons200JSONResponse(page), nil
}

// recordAffectedQuestion records the question with its reason, once per session, person and
// question in each process; the pages of one question are one.
func (v *Vault) recordAffectedQuestion(ctx context.Context, in acting.Intent, b *contract.AffectedPersonsQuery) error {
	asOf := recordedTime(b.AsOf)
	once := uuid.NewSHA1(looker(in), fmt.Appendf(nil, "affected %s %s %d %d %v %s", b.DocumentType, b.Consumer, b.From.UnixMicro(), b.Until.UnixMicro(), asOf, b.Reason))
	if v.auditedReads.has(once) {
		return nil
	}
	asked := audit.AskAffected{Type: b.DocumentType, Consumer: b.Consumer, From: b.From, Until: b.Until, AsOf: asOf, Reason: b.Reason, At: in.At}
	if _, err := acting.Audits.Transact(ctx, v.Log, in.Write(0, acting.AuditStream(in.At), acting.NoCitizen), asked); err != nil {
		return fmt.Errorf("record the question: %w", err)
	}
	v.auditedReads.add(once)
	return nil
}

// affectedEnd returns the leaf up to which the answer tells, once the read model has come there,
// and the checkpoint that covers it: the end of that checkpoint, or leaf where a moment was asked
// for. Where the log is not signed it is the end of the log, without a checkpoint.
func (v *Vault) affectedEnd(ctx context.Context, leaf int64, asOf bool) (int64, contract.Checkpoint, error) {
	if !asOf {
		head, err := v.Log.Head(ctx)
		if err != nil {
			return 0, "", fmt.Errorf("end of the log: %w", err)
		}
		if leaf, err = v.Log.Leaves().Leaf(ctx, head); err != nil {
			return 0, "", fmt.Errorf("end of the log: %w", err)
		}
	}
	note, err := v.awaitCheckpoint(ctx, max(leaf, 0))
	if err != nil {
		return 0, "", err
	}
	if note != nil && !asOf {
		c, err := proof.Peek(note)
		if err != nil {
			return 0, "", err
		}
		leaf = c.Size - 1
	}
	return leaf, contract.Checkpoint(note), v.WaitForHead(ctx, v.AccessLog.Name())
}

func (v *Vault) affectedTotals(ctx context.Context, known int64, a accesslog.Affected) (*contract.AffectedTotals, error) {
	if known < 0 {
		return &contract.AffectedTotals{}, nil
	}
	t, err := v.AccessLog.AffectedTotals(ctx, known, a)
	if err != nil {
		return nil, err
	}
	return &contract.AffectedTotals{Persons: t.Persons, Erased: t.Erased, Accesses: t.Accesses, MayHaveBeenDisclosed: t.Accesses - t.Disclosed}, nil
}
