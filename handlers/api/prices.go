package api

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"coffre/domain"
	"coffre/eventstore/traffic"
	"coffre/handlers/edge"
)

// Amount is an amount of money in millionths of the currency's unit.
type Amount int64

const (
	unit Amount = 1_000_000
	// maxMonth bounds what a month costs.
	maxMonth = 1_000_000 * unit
	// maxCall bounds what one call costs, so that no sum of calls that a month can hold overflows.
	maxCall = 1000 * unit
)

var (
	errPrices = errors.New("prices are one JSON object with currency and lists, each with effectiveFrom, and perhaps monthly, calls, other (docs/traffic.md)")
	errAmount = fmt.Errorf("an amount is a text such as \"0.0025\": digits, and at most six decimals behind a point; at most %d a call and %d a month", maxCall/unit, maxMonth/unit)

	currencyCode  = regexp.MustCompile(`^[A-Z]{3}$`)
	amountWritten = regexp.MustCompile(`^([0-9]{1,7})(?:\.([0-9]{1,6}))?$`)
)

// ParseAmount reads an amount; the error does not quote it.
func ParseAmount(text string) (Amount, error) {
	m := amountWritten.FindStringSubmatch(text)
	if m == nil {
		return 0, errAmount
	}
	n, err := strconv.ParseInt(m[1]+m[2]+strings.Repeat("0", 6-len(m[2])), 10, 64)
	if err != nil {
		return 0, errAmount
	}
	return Amount(n), nil
}

// String returns the amount with two decimals, or with as many as it needs.
func (a Amount) String() string {
	text := fmt.Sprintf("%d.%06d", a/unit, a%unit)
	for range 4 {
		text = strings.TrimSuffix(text, "0")
	}
	return text
}

// cents returns the amount rounded to hundredths, half of one upwards.
func (a Amount) cents() Amount { return (a + unit/200) / (unit / 100) * (unit / 100) }

// Prices are what calls cost organisations.
type Prices struct {
	Currency string // ISO 4217
	Lists    []PriceList
}

// PriceList is what calls cost from a month on, until the month of the next list.
type PriceList struct {
	From    traffic.Month
	Monthly Amount            // of an organisation with any call in the month
	Calls   map[string]Amount // by operation, of one that succeeded
	Other   Amount            // of one of every other operation
}

// ParsePrices reads prices from JSON, and refuses what is unknown or contradicts itself. Errors
// name the list and the member and quote nothing else.
func ParsePrices(text []byte) (*Prices, error) {
	var in struct {
		Currency string `json:"currency"`
		Lists    []struct {
			EffectiveFrom string            `json:"effectiveFrom"`
			Monthly       string            `json:"monthly"`
			Calls         map[string]string `json:"calls"`
			Other         string            `json:"other"`
		} `json:"lists"`
	}
	if err := json.Unmarshal(text, &in, json.RejectUnknownMembers(true)); err != nil || len(in.Lists) == 0 {
		return nil, errPrices
	}
	if !currencyCode.MatchString(in.Currency) {
		return nil, errors.New("the currency is three capital letters, such as EUR")
	}
	out := &Prices{Currency: in.Currency}
	for i, l := range in.Lists {
		wrong := func(member string, err error) error { return fmt.Errorf("list %d: %s: %w", i+1, member, err) }
		from, err := time.Parse(time.DateOnly, l.EffectiveFrom)
		if err != nil || from.Day() != 1 {
			return nil, wrong("effectiveFrom", errors.New("it is the first day of a month, yyyy-MM-01: a month has one price"))
		}
		list := PriceList{From: traffic.Month(from.Year()*100 + int(from.Month())), Calls: map[string]Amount{}}
		if i > 0 && list.From <= out.Lists[i-1].From {
			return nil, wrong("effectiveFrom", errors.New("lists stand in the order of their dates, one for each"))
		}
		read := func(member, text string, most Amount) (a Amount) {
			if text == "" || err != nil {
				return 0
			}
			if a, err = ParseAmount(text); err == nil && a > most {
				err = errAmount
			}
			if err != nil {
				err = wrong(member, err)
			}
			return a
		}
		list.Monthly, list.Other = read("monthly", l.Monthly, maxMonth), read("other", l.Other, maxCall)
		for n, operation := range slices.Sorted(maps.Keys(l.Calls)) {
			if _, known := edge.RouteOf(operation); !known {
				return nil, wrong("calls", fmt.Errorf("name %d in alphabetical order is no operation of the API", n+1))
			}
			list.Calls[operation] = read("calls of "+operation, l.Calls[operation], maxCall)
		}
		if err != nil {
			return nil, err
		}
		out.Lists = append(out.Lists, list)
	}
	return out, nil
}

// in returns the list in force in a month; false when there is none.
func (p *Prices) in(m traffic.Month) (PriceList, bool) {
	if p == nil {
		return PriceList{}, false
	}
	for _, l := range slices.Backward(p.Lists) {
		if l.From <= m {
			return l, true
		}
	}
	return PriceList{}, false
}

// of returns what a call costs.
func (l PriceList) of(operation string) Amount {
	if a, named := l.Calls[operation]; named {
		return a
	}
	return l.Other
}

// parseMonth reads yyyy-MM, which the gate has judged; "" is the month of a moment.
func parseMonth(text string, now time.Time) traffic.Month {
	day, err := domain.ParseDate(text + "-01")
	if err != nil {
		return traffic.MonthOf(now)
	}
	return traffic.MonthOf(domain.BelgianMidnight(day))
}

// monthText writes a month as the contract does.
func monthText(m traffic.Month) string { return string(m.First())[:len("yyyy-MM")] }
