package api

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"coffre/domain"
	"coffre/eventstore/traffic"
	"coffre/handlers/contract"
	"coffre/handlers/contract/table"
	"coffre/handlers/edge"
)

// GetMonthlyUsage implements GET /monthlyUsage: an organisation's own calls in the role of its token, or to an
// operator those of all organisations, with what they cost.
func (v *Vault) GetMonthlyUsage(ctx context.Context, r contract.GetMonthlyUsageRequestObject) (contract.GetMonthlyUsageResponseObject, error) {
	call, now := edge.CallFrom(ctx), v.Now()
	month := parseMonth(r.Params.Month, now)
	var of domain.Organisation
	if call.Role != domain.RoleOperator {
		if of = call.Organisation; of == "" {
			return nil, edge.ErrNoResource
		}
	}
	counts, err := v.Traffic.Of(ctx, month, of)
	if err != nil {
		return nil, err
	}
	counts = slices.DeleteFunc(counts, func(c traffic.Count) bool {
		return c.Organisation == "" || of != "" && c.Role != call.Role
	})
	told := v.Prices.usage(month, counts)
	told.Self, told.Month, told.At = contract.Href(contract.Base+"/monthlyUsage"), monthText(month), now
	if r.Params.Format != contract.FigureFormatCsv {
		return contract.GetMonthlyUsage200JSONResponse(told), nil
	}
	out, err := usageCSV(told)
	return contract.GetMonthlyUsage200TextCsvResponse{Body: out, ContentLength: int64(out.Len())}, err
}

// usage counts calls by organisation, role and operation, and says what those of a month cost
// where there are prices.
func (p *Prices) usage(month traffic.Month, counts []traffic.Count) contract.MonthlyUsage {
	type line struct {
		of        domain.Organisation
		role      domain.Role
		operation string
	}
	sums := map[line]*contract.UsageLine{}
	for _, c := range counts {
		k := line{c.Organisation, c.Role, c.Operation}
		l := sums[k]
		if l == nil {
			l = &contract.UsageLine{Role: trafficRole(c.Role), Operation: operationName(c.Operation)}
			sums[k] = l
		}
		if c.Status < 400 {
			l.Calls += c.Requests()
		} else {
			l.Refused += c.Requests()
		}
	}
	by := map[domain.Organisation]*contract.OrganizationUsage{}
	for k, l := range sums {
		o := by[k.of]
		if o == nil {
			o = &contract.OrganizationUsage{Organization: k.of}
			by[k.of] = o
		}
		o.Calls, o.Refused, o.Lines = o.Calls+l.Calls, o.Refused+l.Refused, append(o.Lines, *l)
	}
	told := contract.MonthlyUsage{Organizations: []contract.OrganizationUsage{}}
	list, priced := p.in(month)
	if priced {
		told.Currency, told.PricesFrom = p.Currency, list.From.First()
	}
	for _, o := range by {
		slices.SortFunc(o.Lines, func(a, b contract.UsageLine) int {
			return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Operation, b.Operation))
		})
		if priced {
			list.charge(o)
		}
		told.Organizations = append(told.Organizations, *o)
	}
	slices.SortFunc(told.Organizations, func(a, b contract.OrganizationUsage) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Organization, b.Organization))
	})
	return told
}

// charge says what an organisation's month costs; of a month in which no call succeeded, nothing.
func (l PriceList) charge(o *contract.OrganizationUsage) {
	var all Amount
	if o.Calls > 0 {
		all = l.Monthly
	}
	o.Monthly = all.String()
	for i := range o.Lines {
		line := &o.Lines[i]
		price := l.of(line.Operation)
		costs := price * Amount(line.Calls)
		line.Price, line.Costs = price.String(), costs.String()
		all += costs
	}
	o.Costs = all.cents().String()
}

// usageRow is a line of CSV.
type usageRow struct {
	Month        string       `json:"month" parquet:"month" about:"in Belgium"`
	Organization table.Digits `json:"organization" parquet:"organization" about:"enterprise number"`
	Role         string       `json:"role" parquet:"role" about:"in which it called"`
	Operation    string       `json:"operation" parquet:"operation" about:"of the contract; empty in the line of what a month costs by itself"`
	Calls        int          `json:"calls" parquet:"calls" about:"that succeeded"`
	Refused      int          `json:"refused" parquet:"refused" about:"that were answered with a problem"`
	Price        string       `json:"price" parquet:"price" about:"of a call"`
	Costs        string       `json:"costs" parquet:"costs" about:"of all of them, not rounded"`
	Currency     string       `json:"currency" parquet:"currency" about:"of price and costs"`
}

func usageCSV(u contract.MonthlyUsage) (*bytes.Buffer, error) {
	var out bytes.Buffer
	to := table.New[usageRow](table.Form{Format: contract.ExportFormatCsv, Name: "usage"}, &out)
	for _, o := range u.Organizations {
		row := usageRow{Month: u.Month, Organization: table.Digits(o.Organization), Currency: u.Currency}
		if o.Monthly != "" {
			monthly := row
			monthly.Price, monthly.Costs = o.Monthly, o.Monthly
			if err := to.Write(&monthly); err != nil {
				return nil, err
			}
		}
		for _, l := range o.Lines {
			line := row
			line.Role, line.Operation, line.Calls, line.Refused, line.Price, line.Costs = string(l.Role), l.Operation, int(l.Calls), int(l.Refused), l.Price, l.Costs
			if err := to.Write(&line); err != nil {
				return nil, err
			}
		}
	}
	return &out, to.End()
}
