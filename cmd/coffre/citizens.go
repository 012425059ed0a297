package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newCitizens(p *program) *cobra.Command {
	return group("citizens", "Find a citizen by number, and all that the vault holds about one",
		`  coffre citizens find --data data --ssin-file ssin.txt --reason complaint
  coffre citizens report --data data --ssin-file ssin.txt --lang fr --format html --out report.html`,
		newCitizensFind(p), newCitizensReport(p))
}

// lookupReasons are why an officer may look a person up.
var lookupReasons = []string{
	string(contract.LookupReasonSubjectRequest), string(contract.LookupReasonComplaint), string(contract.LookupReasonCorrection),
	string(contract.LookupReasonLegalDuty), string(contract.LookupReasonInvestigation),
}

func newCitizensFind(p *program) *cobra.Command {
	var at where
	var me officer
	var of number
	var asJSON bool
	var reason, caseFile string
	cmd := &cobra.Command{
		Use: "find", Short: "How the vault names the person with a number",
		Long: `Tells the id by which the other commands name a person. The look-up is on record, and the
citizen sees it in their access log: that a privacy officer looked, when, why, and for which case.`,
		Example: `  coffre citizens find --data data --ssin-file ssin.txt --reason complaint
  coffre citizens find --data data --subject second-officer --ssin-file ssin.txt --reason legalDuty --case-file case.txt`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("reason", reason, lookupReasons...); err != nil {
				return err
			}
			body := contract.CitizenGet{Reason: contract.LookupReason(reason)}
			var err error
			if body.SSIN, err = of.read(p); err != nil {
				return err
			}
			if body.CaseReference, err = p.readCase(caseFile); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				r, err := client.Read[contract.Citizen](c.GetCitizen(cmd.Context(), body))
				if err != nil {
					return err
				}
				return p.print(asJSON, r.Body, "citizen", citizenText(r.Body.CitizenID))
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	of.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "`why`: "+strings.Join(lookupReasons, ", "))
	caseFlag(cmd, &caseFile)
	required(cmd, "reason")
	complete(cmd, "reason", lookupReasons...)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func caseFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "case-file", "", "`file` with the reference of the case, which is kept sealed; - is standard input")
	_ = cmd.MarkFlagFilename("case-file") // only for a flag that is not there
}

// readCase reads the reference of a case; "" for no file.
func (p *program) readCase(file string) (contract.CaseReference, error) {
	if file == "" {
		return "", nil
	}
	s, err := p.readSecret(file)
	if err != nil {
		return "", fmt.Errorf("file with a case reference: %w", err)
	}
	return s, nil
}

// citizenText returns the id as text, "" for the zero id.
func citizenText(id domain.CitizenID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}
