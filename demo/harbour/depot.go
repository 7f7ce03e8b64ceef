package harbour

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

type depot struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	City     string `json:"city"`
	Country  string `json:"country"`
	Capacity int64  `json:"capacity"`
	Opens    string `json:"opens"`
	Closes   string `json:"closes"`
}

const depotQuery = `SELECT id, name, city, country, capacity, opens, closes FROM depots`

func scanDepot(r scanner) (depot, error) {
	var d depot
	return d, r.Scan(&d.ID, &d.Name, &d.City, &d.Country, &d.Capacity, &d.Opens, &d.Closes)
}

func (s *Server) depotByID(ctx context.Context, id int64) (depot, error) {
	d, err := one(ctx, s.db, scanDepot, depotQuery+` WHERE id = ?`, id)
	if errors.Is(err, errNoRow) {
		return d, notFound("depot")
	}
	return d, err
}

func (s *Server) listDepots(c *call) error {
	items, err := many(c.ctx(), s.db, scanDepot, depotQuery+` ORDER BY id LIMIT 200`)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, map[string]any{"items": items})
}

func (s *Server) getDepot(c *call) error {
	id, err := c.pathInt("depot_id")
	if err != nil {
		return err
	}
	d, err := s.depotByID(c.ctx(), id)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, d)
}

type depotPatch struct {
	Capacity *int64  `json:"capacity"`
	Opens    *string `json:"opens"`
	Closes   *string `json:"closes"`
}

// patchDepot is an admin's operation; who may reach it is in the route table.
func (s *Server) patchDepot(c *call) error {
	id, err := c.pathInt("depot_id")
	if err != nil {
		return err
	}
	var in depotPatch
	err = c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.some(in.Capacity != nil, in.Opens != nil, in.Closes != nil)
	if in.Capacity != nil {
		k.number("/capacity", *in.Capacity, 1, 1_000_000)
	}
	if in.Opens != nil {
		k.match("/opens", *in.Opens, reClock)
	}
	if in.Closes != nil {
		k.match("/closes", *in.Closes, reClock)
	}
	if err := k.err(); err != nil {
		return err
	}
	d, err := one(c.ctx(), s.db, scanDepot, `UPDATE depots SET capacity = coalesce(?, capacity), opens = coalesce(?, opens), closes = coalesce(?, closes)
		WHERE id = ? RETURNING id, name, city, country, capacity, opens, closes`, in.Capacity, in.Opens, in.Closes, id)
	if errors.Is(err, errNoRow) {
		return notFound("depot")
	}
	if err != nil {
		return err
	}
	err = s.note(c, "depot.change", fmt.Sprintf("depot %d", id))
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, d)
}

// getManifest lists what lies in a depot, for the depot's own system.
func (s *Server) getManifest(c *call) error {
	id, err := c.pathInt("depot_id")
	if err != nil {
		return err
	}
	number, size, err := c.pageParams(exportMax)
	if err != nil {
		return err
	}
	_, err = s.depotByID(c.ctx(), id)
	if err != nil {
		return err
	}
	return s.exportPage(c, ` WHERE depot_id = ? AND status IN ('dispatched', 'in_transit')`, []any{id}, number, size)
}
