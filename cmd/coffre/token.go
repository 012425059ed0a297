package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/handlers/edge"
	"coffre/handlers/edge/token"
)

// tokenRoles are the roles a person or program can have, as a token names them.
var tokenRoles = []string{
	string(domain.RoleIssuer), string(domain.RoleConsumer), string(domain.RoleCitizen),
	string(domain.RoleAuditor), string(domain.RolePrivacyOfficer), string(domain.RoleOperator),
}

// maxTokenLife bounds a token for trying out.
const maxTokenLife = 30 * 24 * time.Hour

func newToken(p *program) *cobra.Command {
	var dir, role, org, onBehalfOf, subject string
	var scopes []string
	var life time.Duration
	var person who
	cmd := &cobra.Command{
		Use: "token --data DIR --role ROLE", Short: "Make a bearer token for trying out",
		Long: `Prints a token signed with the development key of a data directory. Servers started
with --dev trust it, on loopback only. It works while a server runs, and makes
no directory: start coffre serve --dev first. Nothing but the token goes to standard output.`,
		Example: `  coffre token --data data --role issuer --org 0206731645
  coffre token --data data --role consumer --org 0316380841 --ttl 8h
  coffre token --data data --role citizen --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre token --data data --role auditor --scopes events:read`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			g, err := grantOf(p, role, org, onBehalfOf, person)
			if err != nil {
				return err
			}
			if life <= 0 || life > maxTokenLife {
				return usage("--ttl is more than 0 and at most %s", maxTokenLife)
			}
			g.Subject, g.Scopes = subject, scopes
			if len(scopes) == 0 {
				g.Scopes = edge.Scopes(g.Role)
			}
			for _, s := range g.Scopes {
				if !slices.Contains(edge.Scopes(g.Role), s) {
					return usage("--scopes: those of role %s are %s", g.Role, strings.Join(edge.Scopes(g.Role), ", "))
				}
			}
			d := vault.DataDir(dir)
			if err := thereIsAVault(d); err != nil {
				return err
			}
			if err := d.Create(); err != nil { // closed to other accounts before a key is put there
				return err
			}
			key, err := token.OpenDevKey(d.File(vault.DevKeyFile))
			if err != nil {
				return err
			}
			bearer, err := key.Mint(g, p.now(), life)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.Out, bearer)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "data", "", "the vault's data `directory`")
	f.StringVar(&role, "role", "", "who it is for: "+strings.Join(tokenRoles, ", "))
	f.StringVar(&org, "org", "", "enterprise `number` of an issuer or consumer")
	f.StringVar(&onBehalfOf, "on-behalf-of", "", "enterprise `number` that a service integrator acts for")
	f.StringVar(&subject, "subject", "", "the `name` of who holds it; two persons need two names (default: the role)")
	f.StringSliceVar(&scopes, "scopes", nil, "only these `scopes`, with commas between (default: all of the role)")
	f.DurationVar(&life, "ttl", time.Hour, "how long it holds")
	person.flags(cmd)
	required(cmd, "data", "role")
	complete(cmd, "role", tokenRoles...)
	return cmd
}

// grantOf checks that what a token is to say fits its role.
func grantOf(p *program, role, org, onBehalfOf string, person who) (token.Grant, error) {
	if err := oneOf("role", role, tokenRoles...); err != nil {
		return token.Grant{}, err
	}
	g := token.Grant{Role: domain.Role(role)}
	switch g.Role {
	case domain.RoleIssuer, domain.RoleConsumer:
		if org == "" {
			return g, usage("a token of role %s needs --org", role)
		}
		if person != (who{}) {
			return g, usage("--citizen and --ssin-file are for the role citizen")
		}
	case domain.RoleCitizen:
		if org != "" || onBehalfOf != "" {
			return g, usage("a citizen's token has no organisation")
		}
		if person == (who{}) {
			return g, usage("a citizen's token needs --citizen or --ssin-file")
		}
		return person.grant(p)
	default:
		if person != (who{}) {
			return g, usage("--citizen and --ssin-file are for the role citizen")
		}
	}
	for _, o := range []struct {
		in  string
		out *domain.Organisation
	}{{org, &g.Organisation}, {onBehalfOf, &g.OnBehalfOf}} {
		if o.in == "" {
			continue
		}
		parsed, err := domain.ParseOrganisation(o.in)
		if err != nil {
			return g, &exitError{exitUsage, err}
		}
		*o.out = parsed
	}
	return g, nil
}

// required marks flags that must be given.
func required(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that is not there: a broken program
		}
	}
}

// complete gives the words a shell may complete a flag with.
func complete(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a flag that is not there: a broken program
	}
}
