package api

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"coffre/domain/audit"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/projections"
)

// recordAct records an act on the vault itself. It is called before the act has any effect,
// once per request; a repetition under the same idempotency key is recorded once.
func (v *Vault) recordAct(ctx context.Context, in acting.Intent, act audit.Operate) error {
	act.At = in.At
	if _, err := acting.Audits.Transact(ctx, v.Log, in.Write(0, acting.AuditStream(in.At), acting.NoCitizen), act); err != nil {
		return fmt.Errorf("record the act: %w", err)
	}
	return nil
}

// beginList returns the leaf from behind which a page of a list goes on whose every look is
// recorded: once the read model has come to the position that the caller asks for, and the look
// is on record. Nothing of the list is read before.
func (v *Vault) beginList(ctx context.Context, model projections.Projection, position contract.PositionToken, list string, after contract.Cursor, look audit.Operate) (from int64, err error) {
	if err := v.WaitForToken(ctx, position, model.Name()); err != nil {
		return 0, err
	}
	if from, err = v.LeafFrom(list, after, -1); err != nil {
		return 0, err
	}
	return from, v.recordLook(ctx, v.NewIntent(ctx), look)
}

// recordLook records that the caller looks at something, once per session, person and thing
// looked at in each process: no process relies on what another one recorded. It is called before anything is handed out.
func (v *Vault) recordLook(ctx context.Context, in acting.Intent, act audit.Operate) error {
	once := uuid.NewSHA1(looker(in), []byte(fmt.Sprintf("%s %s %s %s %s", act.Act, act.On, act.Citizen, act.Consumer, act.Purpose)))
	if v.auditedReads.has(once) {
		return nil
	}
	act.At = in.At
	if _, err := acting.Audits.Transact(ctx, v.Log, in.Write(0, acting.AuditStream(in.At), acting.NoCitizen), act); err != nil {
		return fmt.Errorf("record the look: %w", err)
	}
	v.auditedReads.add(once)
	return nil
}

// looker returns an id of the caller and the session. On the control socket two accounts may
// show one token, and one account may say another reason.
func looker(in acting.Intent) uuid.UUID {
	c := in.Call
	return uuid.NewSHA1(c.Session, []byte(fmt.Sprintf("%q %q %q %q %q", c.Role, c.Subject, c.Door, c.Why, c.Case)))
}
