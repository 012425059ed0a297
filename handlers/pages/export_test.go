package pages

import "coffre/domain"

// Personals returns the patterns of the pages of those who are logged in, with their roles.
func Personals() map[string][]domain.Role {
	all := make(map[string][]domain.Role)
	for _, route := range personals {
		all[route.pattern] = route.roles
	}
	return all
}

// Graves returns the patterns of the routes of which some acts ask for a fresh login.
func Graves() (all []string) {
	for pattern := range grave {
		all = append(all, pattern)
	}
	return all
}
