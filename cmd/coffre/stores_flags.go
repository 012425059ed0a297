package main

// placeNames are the flag and the variable that say one of the places, and so how
// errors call it.
type placeNames struct{ flag, variable string }

// ownPlaces are those of a command on one vault: of the log, the read models, the keys.
var ownPlaces = [3]placeNames{{"store", storeVariable}, {"readmodels", modelVariable}, {"keys", keysVariable}}

// variables returns those of the places.
func variables(names [3]placeNames) [3]string {
	return [3]string{names[0].variable, names[1].variable, names[2].variable}
}

// typedOver returns the places that flags say, and those of the environment where the
// flags say nothing.
func typedOver(typed, env StoresConfig, names [3]placeNames) (StoresConfig, error) {
	for i, one := range []struct {
		typed string
		to    *string
	}{{typed.Log, &env.Log}, {typed.ReadModels, &env.ReadModels}, {typed.Keys, &env.Keys}} {
		flag, variable := names[i].flag, names[i].variable
		switch {
		case one.typed == "":
			continue
		case i == 0 && onKurrent(one.typed):
			if hasPassword(one.typed) {
				return env, typedPassword(flag, variable)
			}
		case !knownPlace(one.typed):
			return env, usage("--%s is sqlite:DIR or postgres://user@host:port/database", flag)
		case onPostgres(one.typed) && hasPassword(one.typed):
			return env, typedPassword(flag, variable)
		}
		*one.to = one.typed
	}
	return env, nil
}
