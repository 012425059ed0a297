package jobs

// Vouch is what Run does each time.
var Vouch = (*Table).vouch
