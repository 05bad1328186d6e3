"""The project's files as JupyterLab sees them while a student works: the course's originals are read-only."""

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado.web import HTTPError

FOLDER = "notebooks"


class Originals(AsyncLargeFileManager):
    """All files of the project; those in notebooks/, to which a link may lead, are not to be saved."""

    def is_writable(self, path):
        """JupyterLab asks this, and neither autosaves nor offers to save what is not writable."""
        return path.strip("/").split("/")[0] != FOLDER and super().is_writable(path)

    async def save(self, model, path=""):
        if self.file_exists(path) and not self.is_writable(path):
            raise HTTPError(
                403, f"{path} belongs to the course's originals. Work on your copy in my_course/."
            )
        return await super().save(model, path)
