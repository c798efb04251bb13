"""The parts of disclosure control; `report.disclose` puts them in order."""
