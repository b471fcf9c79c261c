"""How many rows of what, from the two numbers that a person gives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Plan:
    """The size of the sample data. Everything else follows from jobs and applications.

    Attributes:
        jobs: number of jobs, at least 1.
        applications: number of applications, at least 0.
        seed: any integer; the same plan makes the same rows.
        until: the day on which the newest jobs and applications are of yesterday.
    """

    jobs: int
    applications: int
    seed: int
    until: date

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"--jobs {self.jobs}: at least 1 is needed")
        if self.applications < 0:
            raise ValueError(f"--applications {self.applications}: 0 or more can be made")

    @property
    def candidates(self) -> int:
        """Twenty applications each; more candidates when few jobs have to share many applications."""
        return max(50, self.applications // 20, 8 * -(-self.applications // self.jobs))

    @property
    def companies(self) -> int:
        """Fifty jobs each."""
        return max(5, self.jobs // 50)

    @property
    def employers(self) -> int:
        """Three for two companies."""
        return self.companies + self.companies // 2

    @property
    def users(self) -> int:
        """Candidates first, then employers, then one admin."""
        return self.candidates + self.employers + 1

    @property
    def most_applications_of_a_job(self) -> int:
        """A third of all candidates, so that picking distinct ones stays quick."""
        return self.candidates // 3
