package domain

// Organisation is an administration or another legal person, by its enterprise
// number in the Crossroads Bank for Enterprises: ten digits, the last two
// checking the first eight. "" means absent.
type Organisation string

var errBadOrganisation = NewError(Invalid, "invalidEnterpriseNumber", "an enterprise number has ten digits, starts with 0 or 1, and its last two digits check the others")

// ParseOrganisation accepts ten digits that start with 0 or 1 and whose last two
// are 97 minus the first eight modulo 97 (Royal Decree of 24 June 2003, art. 2). The error
// is ErrCheckDigits where nothing but those is wrong.
func ParseOrganisation(s string) (Organisation, error) {
	if len(s) != 10 || s[0] != '0' && s[0] != '1' {
		return "", errBadOrganisation
	}
	n, check := 0, 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return "", errBadOrganisation
		}
		if i < 8 {
			n = n*10 + int(s[i]-'0')
		} else {
			check = check*10 + int(s[i]-'0')
		}
	}
	if check != 97-n%97 {
		return "", misread{errBadOrganisation}
	}
	if n == 0 {
		return "", errBadOrganisation
	}
	return Organisation(s), nil
}

// IsZero reports whether the organisation is absent.
func (o Organisation) IsZero() bool { return o == "" }
