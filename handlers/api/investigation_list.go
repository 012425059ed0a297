package api

import (
	"context"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/projections/accesslog"
)

// ListInvestigations implements GET /investigations: a consumer's own, or all for privacy
// officers and auditors, whose look is recorded first. It counts what stands under each, and
// names nobody.
func (v *Vault) ListInvestigations(ctx context.Context, r contract.ListInvestigationsRequestObject) (contract.ListInvestigationsResponseObject, error) {
	p, path := r.Params, contract.Base+"/investigations"
	if err := v.WaitForToken(ctx, p.CoffreMinPosition, v.AccessLog.Name()); err != nil {
		return nil, err
	}
	from, err := v.LeafFrom(path, p.After, -1)
	if err != nil {
		return nil, err
	}
	in := v.NewIntent(ctx)
	filter := accesslog.InvestigationFilter{Investigation: p.InvestigationID, Now: in.At}
	if p.State != "" {
		filter.Open = new(p.State == contract.InvestigationStateOpen)
	}
	if in.Actor.Role == domain.RoleConsumer {
		filter.Organisation = in.Actor.Organisation
	} else {
		act := audit.Operate{Act: audit.ListInvestigations}
		if p.InvestigationID != nil {
			act.On = p.InvestigationID.String()
		}
		if err := v.recordLook(ctx, in, act); err != nil {
			return nil, err
		}
	}
	size := edge.PageSize(p.PageSize)
	all, err := v.AccessLog.Investigations(ctx, filter, from, size+1)
	if err != nil {
		return nil, err
	}
	links := edge.AddID(edge.LinksTo(path), "investigationId", p.InvestigationID).Text("state", string(p.State)).Text("lang", string(p.Lang)).Number("pageSize", p.PageSize)
	page := contract.Investigations{Self: links.At(p.After), Items: []contract.Investigation{}, PageSize: size}
	for _, one := range all {
		if len(page.Items) == size {
			page.Next, page.NextCursor = links.Next(v.Cursor(path, from))
			break
		}
		item := investigationItem(in, one.State)
		item.Records, item.Citizens = &one.Records, &one.Citizens
		page.Items, from = append(page.Items, item), one.FirstLeaf
	}
	return contract.ListInvestigations200JSONResponse(page), nil
}
