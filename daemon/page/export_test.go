package page

import "time"

// Hurry shortens the time between two looks at the clock.
func (p *Page) Hurry(look time.Duration) { p.look = look }

// TokenLife is how long an address can be opened.
const TokenLife = tokenLife
