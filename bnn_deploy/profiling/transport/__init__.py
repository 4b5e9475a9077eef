"""How files get to a device and programs run there: local, ssh and adb behind one seam (base.Transport)."""
