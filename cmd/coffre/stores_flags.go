package main

import "coffre/cmd/coffre/vault"

// placeNames are the flag and the variable that say one of the places, and so how
// errors call it.
type placeNames struct{ flag, variable string }

// ownPlaces are those of a command on one vault: of the log, the read models, the keys.
var ownPlaces = [3]placeNames{{"store", vault.StoreVariable}, {"readmodels", vault.ReadModelsVariable}, {"keys", vault.KeysVariable}}

// variables returns those of the places.
func variables(names [3]placeNames) [3]string {
	return [3]string{names[0].variable, names[1].variable, names[2].variable}
}

// typedOver returns the places that flags say, and those of the environment where the
// flags say nothing.
func typedOver(typed, env vault.StoresConfig, names [3]placeNames) (vault.StoresConfig, error) {
	for i, one := range []struct {
		typed string
		to    *string
	}{{typed.Log, &env.Log}, {typed.ReadModels, &env.ReadModels}, {typed.Keys, &env.Keys}} {
		flag, variable := names[i].flag, names[i].variable
		switch {
		case one.typed == "":
			continue
		case i == 0 && vault.OnKurrent(one.typed):
			if hasPassword(one.typed) {
				return env, typedPassword(flag, variable)
			}
		case !vault.KnownPlace(one.typed):
			return env, usage("--%s is sqlite:DIR or postgres://user@host:port/database", flag)
		case vault.OnPostgres(one.typed) && hasPassword(one.typed):
			return env, typedPassword(flag, variable)
		}
		*one.to = one.typed
	}
	return env, nil
}
